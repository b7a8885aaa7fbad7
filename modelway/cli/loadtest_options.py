"""What `modelway loadtest` is told, turned into a load test's options: rows, promise, address, processes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelway.contract import Slo

if TYPE_CHECKING:
    from loadtests.options import LoadOptions
    from modelway.usecase import UseCase
    from serving.rollout.local import LocalTarget
    from serving.rollout.target import Revision

MOST_ROWS = 2000


def newest_rows(case: "UseCase", path: Path) -> Path:
    """Write the newest rows of the newest snapshot, described as the model sees them.

    Raises:
        NotFoundError: There is no snapshot of the use case.
        EmptyWindowError: It holds no row.
    """
    from datetime import UTC, datetime  # noqa: PLC0415 - --help does without

    from modelway.features.recent import known_between  # noqa: PLC0415 - as above
    from stacks.active import snapshot_store  # noqa: PLC0415 - as above

    store = snapshot_store()
    history = store.scan(store.latest(case.name).id)
    ever = {"since": datetime(1, 1, 1, tzinfo=UTC), "until": datetime(9999, 1, 1, tzinfo=UTC)}
    path.parent.mkdir(parents=True, exist_ok=True)
    known_between(case, history, newest=MOST_ROWS, **ever).write_parquet(path)
    return path


def service_options(
    use_case: str,
    *,
    rows: Path | None,
    slo: Path | None,
    out: Path | None,
    url: str | None = None,
    target: "LocalTarget | None" = None,
    kind: str = "",
    **given: Any,
) -> "LoadOptions":
    """The options of a run against the active stack's gateway, or another server.

    Raises:
        NotRunningError: No gateway runs, and no `url` was given.
        NotFoundError: There is no snapshot to take rows from, and no `rows` were given.
        ConfigError: A value makes no sense.
    """
    from loadtests.options import make_options, read_slo  # noqa: PLC0415 - --help does without
    from loadtests.served import server_pids  # noqa: PLC0415 - as above
    from modelway.usecase import load_use_case  # noqa: PLC0415 - as above
    from stacks.active import reports_folder  # noqa: PLC0415 - as above

    case = load_use_case(use_case)
    folder = out or reports_folder() / "loadtest" / case.name / kind
    gateway = target or (None if url else active_target())
    watched = () if given.get("metrics_url") or gateway is None else server_pids(gateway)
    return make_options(
        url=url or (gateway.gateway_url if gateway else None),
        model=case.name,
        rows=rows or newest_rows(case, folder / "rows.parquet"),
        out=folder,
        slo=read_slo(slo) if slo else _promise(case, gateway),
        # With key and time, the prediction log tells these rows from new traffic: same loan, same moment.
        key=None if rows else case.contract.key,
        event_time=None if rows else "event_time",
        watch_pids=watched,
        **given,
    )


def bundle_options(
    chosen: "Revision", target: "LocalTarget", *, rows: Path | None, slo: Path | None, out: Path, **given: Any
) -> "LoadOptions":
    """The options of a run that a bundle alone gives: its reference rows, its promise.

    Raises:
        BundleRejectedError: It does not verify.
        SourceError: No rows can be made from its reference.
        ConfigError: A value makes no sense.
    """
    from loadtests.options import make_options, read_slo  # noqa: PLC0415 - --help does without
    from loadtests.reference_rows import write_reference_rows  # noqa: PLC0415 - as above
    from loadtests.served import server_pids  # noqa: PLC0415 - as above
    from modelway.bundle.bundle import Bundle  # noqa: PLC0415 - as above

    bundle = Bundle.open(chosen.bundle, verify_key=chosen.verify_key)
    return make_options(
        url=target.gateway_url,
        model=bundle.signature.model_name,
        rows=rows or write_reference_rows(bundle, out / "rows.parquet"),
        out=out,
        slo=read_slo(slo) if slo else bundle.slo,
        watch_pids=server_pids(target),
        **given,
    )


def _promise(case: "UseCase", gateway: "LocalTarget | None") -> Slo:
    """What the bundle that serves was signed with; the use case's for a server elsewhere."""
    from loadtests.options import read_slo  # noqa: PLC0415 - --help does without
    from modelway.errors import TransitionError  # noqa: PLC0415 - as above

    if gateway is None:
        return case.slo
    try:
        return read_slo(gateway.live().bundle)
    except TransitionError:  # a rollout shares the traffic: both promise what the use case says
        return case.slo


def active_target() -> "LocalTarget":
    """The active stack's gateway, be it running or not."""
    from stacks.active import local_gateway  # noqa: PLC0415 - ZenML, a second

    return local_gateway()


def arm(target: "LocalTarget", name: str) -> "Revision":
    """A revision that the gateway runs, else a registered model to start beside it.

    Raises:
        NotFoundError: It is neither.
        BundleRejectedError: Its bundle does not verify.
    """
    from loadtests.served import deployed  # noqa: PLC0415 - --help does without
    from modelway.cli.serve import revision  # noqa: PLC0415 - as above

    return deployed(target, name) or revision(name, None)
