"""`modelway features`: training sets as of a day, rows for batch scoring, the online store and its skew."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from modelway.cli.output import emit
from modelway.errors import VerdictError

if TYPE_CHECKING:
    import polars as pl

    from modelway.features.store import FeatureStore
    from modelway.usecase import UseCase

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Build training sets, materialise online features, check skew.",
)

_USE_CASE = typer.Argument(help="Installed use case, e.g. credit.")
_AS_OF = typer.Option(..., "--as-of", formats=["%Y-%m-%d"], help="What was known on that day (UTC).")
_SNAPSHOT = typer.Option(None, "--snapshot", help="Id, or the start of one; default: the newest.")
_STORE = typer.Option(None, "--store", help="Folder or URL of snapshots; default: the active stack's.")
_ONLINE = typer.Option(None, "--features", help="Folder of the feature store; default: the active stack's.")
_JSON = typer.Option(False, "--json", help="Print JSON.")


@app.command()
def build(
    use_case: str = _USE_CASE,
    *,
    as_of: datetime = _AS_OF,
    window_months: int = typer.Option(None, min=1, help="Matured history to use; default: the use case's."),
    out: Path = typer.Option(None, help="Also write the training set to this Parquet file."),
    snapshot: str = _SNAPSHOT,
    store: str = _STORE,
    json_: bool = _JSON,
) -> None:
    """Build the training set of a day and show what is in it."""
    from modelway.features.training_set import build_training_set  # noqa: PLC0415 - polars, 100 ms

    chosen, history = _history(use_case, snapshot, store, as_of)
    frame = build_training_set(chosen, history, as_of=_utc(as_of), window_months=window_months)
    if out is not None:
        _write(frame, out)
    emit(_described(frame, chosen), as_json=json_, title=_title(frame))


@app.command()
def rows(
    use_case: str = _USE_CASE,
    *,
    since: datetime = typer.Option(..., formats=["%Y-%m-%d"], help="First day, UTC."),
    until: datetime = typer.Option(..., formats=["%Y-%m-%d"], help="Day after the last, UTC."),
    target: Path = typer.Option(..., help="Folder for the Parquet files."),
    rows_per_file: int = typer.Option(50_000, min=1),
    snapshot: str = _SNAPSHOT,
    store: str = _STORE,
    json_: bool = _JSON,
) -> None:
    """Write the features of a period's rows, each as known at the time, ready for `modelway batch score`."""
    from modelway.features.recent import known_between  # noqa: PLC0415 - polars, 100 ms

    chosen, history = _history(use_case, snapshot, store, until)
    frame = known_between(chosen, history, since=_utc(since), until=_utc(until))
    parts = list(frame.iter_slices(rows_per_file))
    for number, part in enumerate(parts):
        _write(part, target / f"{use_case}-{number:04d}.parquet")
    emit([{"folder": target, "files": len(parts), "rows": frame.height}], as_json=json_, title="Written")


@app.command()
def materialise(
    use_case: str = _USE_CASE,
    *,
    as_of: datetime = _AS_OF,
    restart: bool = typer.Option(False, "--restart", help="Forget online values first: to go back in time."),
    snapshot: str = _SNAPSHOT,
    store: str = _STORE,
    online: Path = _ONLINE,
    json_: bool = _JSON,
) -> None:
    """Bring the online store to what was published by a day. Newest wins."""
    chosen, history = _history(use_case, snapshot, store, as_of)
    features = _features(online)
    count = features.materialise(chosen, history, as_of=_utc(as_of), restart=restart)
    line = {
        "use_case": use_case,
        "entities": count,
        "as_of": f"{as_of:%Y-%m-%d}",
        "folder": features.folder(chosen),
    }
    emit([line], as_json=json_, title="Online")


@app.command()
def skew(
    use_case: str = _USE_CASE,
    *,
    as_of: datetime = _AS_OF,
    sample: int = typer.Option(200, min=1, help="Entities per view."),
    snapshot: str = _SNAPSHOT,
    store: str = _STORE,
    online: Path = _ONLINE,
    json_: bool = _JSON,
) -> None:
    """Compare online values with what training would see. Exit code 1 unless all agree."""
    chosen, history = _history(use_case, snapshot, store, as_of)
    verdict = _features(online).skew(chosen, history, as_of=_utc(as_of), sample=sample)
    lines = [{"check": r.metric, "outcome": r.outcome.value, "found": r.message} for r in verdict.reasons]
    emit(lines, as_json=json_, title="Skew")
    if not verdict.passed:
        raise VerdictError(
            verdict.summary(),
            expected="the online store to answer what the as-of join gives",
            remedy=f"`modelway features materialise {use_case} --as-of {as_of:%Y-%m-%d}`",
        )


def _described(frame: "pl.DataFrame", use_case: "UseCase") -> list[dict[str, Any]]:
    """A line a feature; derived ones, which no table or store holds, by their formula."""
    from modelway.features.derived import derived_frame  # noqa: PLC0415 - polars, 100 ms

    features = use_case.features
    formulas = {each.name: each.formula for each in features.derived}
    columns = [frame[name] for name in features.names] + derived_frame(frame, features).get_columns()
    return [
        {
            "feature": column.name,
            "type": str(column.dtype),
            "missing_share": round(column.null_count() / frame.height, 4),
            "derived": formulas.get(column.name),
        }
        for column in columns
    ]


def _title(frame: "pl.DataFrame") -> str:
    first, last = frame["event_time"][0], frame["event_time"][-1]  # sorted
    positive = frame["label"].sum() / frame.height
    return f"{frame.height} rows from {first:%Y-%m-%d} to {last:%Y-%m-%d}, {positive:.2%} positive"


def _history(
    name: str, snapshot: str | None, store: str | None, as_of: datetime
) -> "tuple[UseCase, pl.LazyFrame]":
    """The use case and its rows as they were known on the day."""
    from modelway.usecase import load_use_case  # noqa: PLC0415 - polars, 100 ms

    use_case, snapshots = load_use_case(name), _snapshots(store)
    chosen = snapshots.get(snapshot) if snapshot else snapshots.latest(name)
    return use_case, snapshots.scan(chosen.id, as_of=_utc(as_of))


def _snapshots(store: str | None) -> Any:
    if store:
        from modelway.data.snapshot import FolderSnapshotStore  # noqa: PLC0415 - polars, 100 ms

        return FolderSnapshotStore(store)
    return _active().snapshot_store()


def _features(folder: Path | None) -> "FeatureStore":
    if folder:
        from modelway.features.store import FeatureStore  # noqa: PLC0415 - polars, 100 ms

        return FeatureStore(folder)
    store: FeatureStore = _active().feature_store()
    return store


def _active() -> Any:
    from stacks import active  # noqa: PLC0415 - ZenML, seconds

    return active


def _write(frame: "pl.DataFrame", path: Path) -> None:
    """The file appears whole or not at all."""
    from modelway.data.storage import storage_errors  # noqa: PLC0415 - --help does without

    beside = path.with_name(f".{path.name}.tmp")
    with storage_errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            frame.write_parquet(beside, compression="zstd")
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def _utc(day: datetime) -> datetime:
    return day.replace(tzinfo=UTC)
