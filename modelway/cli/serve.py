"""`modelway serve`: one model behind the local gateway."""

import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from modelway.cli.output import emit
from modelway.errors import ConfigError, InputError, TransitionError
from modelway.home import Home

if TYPE_CHECKING:
    from serving.rollout.local import LocalTarget
    from serving.rollout.target import Revision

DEFAULT_PORT = 8080

app = typer.Typer(add_completion=False, help="Serve a model behind the local gateway.")


@app.command()
def serve(
    model: str = typer.Argument(None, help="NAME, NAME@VERSION or NAME@ALIAS; by itself the champion."),
    *,
    bundle: Path = typer.Option(None, help="Serve this bundle folder instead of a registered model."),
    port: int = typer.Option(None, help=f"Gateway port; {DEFAULT_PORT} unless one is running."),
    replicas: int = typer.Option(1, min=1, help="Predictor processes."),
    grpc: bool = typer.Option(
        None, "--grpc/--no-grpc", help="Answer gRPC at the gateway's port too; stays so until said otherwise."
    ),
    detach: bool = typer.Option(False, "--detach", help="Return once it serves; stop it with --stop."),
    instead: bool = typer.Option(
        False, "--instead", help="Take the traffic of another model that the gateway serves."
    ),
    restart: bool = typer.Option(
        False, "--restart", help="Put the installed version of the gateway in place; no request notices."
    ),
    dry_run: bool = typer.Option(
        False, "--dry-run", help="On a cluster's stack: print the InferenceService; ask the cluster nothing."
    ),
    stop: bool = typer.Option(False, "--stop", help="Drain and stop the gateway and its predictors."),
    status: bool = typer.Option(False, "--status", help="Show what runs."),
    json_: bool = typer.Option(False, "--json", help="With --status: print JSON."),
) -> None:
    """Give a model all traffic, at once and without a judge. A rollout does it step by step."""
    refuse_two({"--dry-run": dry_run, "--stop": stop, "--restart": restart, "--status": status})
    if dry_run:
        from stacks.active import rendered  # noqa: PLC0415 - ZenML, seconds

        print(rendered(revision(model, bundle), replicas=replicas), end="")
        return
    target = _target()
    if stop:
        _stop(target)
    elif restart:
        print(f"restarted in place; {_restarted(target)} serves on")
    elif status:
        emit(status_lines(target), as_json=json_, title=_title(target))
    else:
        chosen = revision(model, bundle)
        if not instead:
            refuse_another(*_served_and_wanted(target, chosen))
        _serve(target, chosen, replicas=replicas, port=port, detach=detach, grpc=grpc)


def refuse_two(asked: Mapping[str, bool]) -> None:
    """Do not guess which of two things was meant.

    Args:
        asked: Option -> whether it was given. Each says what is done instead of serving.

    Raises:
        InputError: More than one was given.
    """
    if len(given := [option for option, is_given in asked.items() if is_given]) > 1:
        raise InputError(
            f"{' and '.join(given)} at once",
            expected=f"at most one of {', '.join(asked)}",
            remedy="call it once for each; `--dry-run` shows what serving would do, and no other thing",
        )


def revision(model: str | None, bundle: Path | None) -> "Revision":
    """The revision that the arguments name, its bundle verified.

    Raises:
        ConfigError: Neither a model nor a bundle was named.
        NotFoundError: There is no such model.
        BundleRejectedError: The bundle does not verify.
    """
    from modelway.bundle.bundle import Bundle  # noqa: PLC0415 - --help does without
    from modelway.bundle.signing import VERIFY_KEY_FILE  # noqa: PLC0415 - as above
    from serving.rollout.start import revision_of  # noqa: PLC0415 - as above

    key = Home.current().keys / VERIFY_KEY_FILE
    if bundle is not None:
        return revision_of(Bundle.open(bundle, verify_key=key), verify_key=key)
    if not model:
        raise ConfigError(
            "nothing to serve was named",
            expected="a model, such as `credit` or `credit@3`, or --bundle DIR",
            remedy="`modelway models list` shows what is registered",
        )
    from stacks.active import registry  # noqa: PLC0415 - ZenML and MLflow, seconds

    name, _, reference = model.partition("@")
    registered = registry()
    version = registered.get(name, reference or registered.serving_alias(name))
    return revision_of(registered.bundle(name, version.version), verify_key=key, version=version.version)


def refuse_another(served: set[str], model: str) -> None:
    """Let nobody take another model's traffic by mistake: the books would still call that one live.

    Args:
        served: Models that have traffic at the gateway.
        model: What is to be served.

    Raises:
        ConfigError: The gateway serves another model.
    """
    if others := sorted(served - {model}):
        raise ConfigError(
            f"the gateway serves {', '.join(others)}, and one model at a time",
            expected=f"{model}, or no model, behind it",
            remedy="`--instead` takes its traffic; or use a home of its own (MODELWAY_HOME) for each model",
        )


def _served_and_wanted(target: "LocalTarget", chosen: "Revision") -> tuple[set[str], str]:
    from serving.rollout.target import service_of  # noqa: PLC0415 - --help does without

    return {service_of(name) for name in target.meant()}, service_of(chosen.id)


def status_lines(target: "LocalTarget") -> list[dict[str, object]]:
    """One line per revision that runs."""
    status = target.status()
    if status is None:
        return []
    return [
        {
            "revision": name,
            "weight_percent": (status.weights or {}).get(name, 0),
            "ready": f"{fleet.ready} of {fleet.wanted}",
            "ports": " ".join(str(replica.port) for replica in fleet.replicas),
            "restarts": sum(replica.restarts for replica in fleet.replicas),
            "problem": "; ".join(replica.problem for replica in fleet.replicas if replica.problem),
            "gateway": status.url,
            "grpc": status.grpc_address or "",
        }
        for name, fleet in status.revisions.items()
    ]


def _serve(
    target: "LocalTarget",
    chosen: "Revision",
    *,
    replicas: int,
    port: int | None,
    detach: bool,
    grpc: bool | None,
) -> None:
    from serving.rollout.target import service_of  # noqa: PLC0415 - --help does without
    from stacks.guards import alone, require_idle  # noqa: PLC0415 - as above

    wanted = port if port is not None or target.running else DEFAULT_PORT
    name = service_of(chosen.id)
    with alone(target, name, "`modelway serve`"):
        require_idle(target, name)  # a driver, or the next one, would take the traffic away again
        url = target.serve(chosen, replicas=replicas, port=wanted, grpc=grpc)
    print(
        f"{chosen.id} serves at {url}; inputs: {url}/v2/models/{name}; POST to {url}/v2/models/{name}/infer"
        f"{_calls_at(target)}"
    )
    if detach:
        return
    print("Ctrl-C stops it.")
    try:
        _wait_for_a_signal()
    finally:
        _end(target)


def _end(target: "LocalTarget") -> None:
    try:
        _stop(target)
    except TransitionError:
        print("it serves on; `modelway serve --stop` stops it later")
        raise


def _stop(target: "LocalTarget") -> None:
    from stacks.guards import require_undriven  # noqa: PLC0415 - --help does without

    require_undriven(target)
    target.stop()


def _restarted(target: "LocalTarget") -> str:
    from serving.gateway.control import Gateway  # noqa: PLC0415 - --help does without

    return Gateway(target.root, runtime="serving.runtime").restart().url


def _wait_for_a_signal() -> None:
    """Block until SIGINT or SIGTERM."""
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: asked.set())
    while not asked.wait(0.5):
        pass


def _title(target: "LocalTarget") -> str:
    return f"Gateway {target.gateway_url}{_calls_at(target)}" if target.running else "No gateway"


def _calls_at(target: "LocalTarget") -> str:
    status = target.status()
    return f"; gRPC: {status.grpc_address}" if status and status.grpc_address else ""


def _target() -> "LocalTarget":
    from stacks.active import local_gateway  # noqa: PLC0415 - ZenML, seconds

    return local_gateway()
