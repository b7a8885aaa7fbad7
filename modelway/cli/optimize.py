"""`modelway optimize`: look into the graph that is served, and prove that it answers sanely."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from modelway.cli.output import emit
from modelway.errors import ConfigError, ParityError, SourceError
from modelway.home import Home

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from modelway.bundle.bundle import Bundle

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Look into an exported graph and prove that it answers sanely.",
)

_MODEL = typer.Argument(None, help="NAME, NAME@3, NAME@champion or NAME@challenger.")
_BUNDLE = typer.Option(None, help="This bundle folder instead of a registered model.")
_ROWS = typer.Option(
    None, help="Parquet file with the model's inputs by name; default: the bundle's drift reference."
)
_KEY = typer.Option(None, help="PEM that verifies --bundle; default: this checkout's.")
_JSON = typer.Option(False, "--json", help="Print JSON.")


@app.command()
def show(model: str = _MODEL, bundle: Path = _BUNDLE, verify_key: Path = _KEY, json_: bool = _JSON) -> None:
    """Show nodes, operator sets, inputs and size, and measure latency on this machine now."""
    from modelway.optimize.inspection import facts, latencies  # noqa: PLC0415 - ONNX, half a second
    from modelway.optimize.scoring import Graph  # noqa: PLC0415 - as above

    chosen = _bundle(model, bundle, verify_key)
    content = chosen.model.read_bytes()
    found, timed = facts(content), latencies(Graph(content), _matrix(chosen, None))
    if json_:
        emit([{"digest": chosen.digest, **found, "latency": timed}], as_json=True)
        return
    title = f"{chosen.signature.model_name} {chosen.digest[:12]}"
    emit(
        [{"fact": name, "value": _plain(value)} for name, value in found.items()], as_json=False, title=title
    )
    emit(timed, as_json=False, title="Latency here, one thread")


@app.command()
def check(
    model: str = _MODEL,
    rows: Path = _ROWS,
    bundle: Path = _BUNDLE,
    verify_key: Path = _KEY,
    json_: bool = _JSON,
) -> None:
    """Ask the graph about real rows and mutations of them. Exit code 1 when an answer is not sane."""
    from modelway.optimize.inspection import sane  # noqa: PLC0415 - ONNX, half a second

    chosen = _bundle(model, bundle, verify_key)
    verdict = sane(chosen.model.read_bytes(), _matrix(chosen, rows), chosen.signature)
    lines: list[Mapping[str, Any]] = [
        {"checked": r.metric, "outcome": r.outcome.value, "found": r.message, "rows": r.samples}
        for r in verdict.reasons
    ]
    emit(
        [verdict.model_dump(mode="json")] if json_ else lines,
        as_json=json_,
        title=verdict.outcome.value.upper(),
    )
    if not verdict.passed:
        raise ParityError(
            f"the graph of {chosen.digest[:12]}: {verdict.summary()}",
            expected="a probability for every row, whatever is missing or unknown in it",
            remedy="do not serve it; export the model again with modelway.optimize.export",
        )


def _bundle(model: str | None, folder: Path | None, verify_key: Path | None) -> "Bundle":
    if folder is not None:
        from modelway.bundle.bundle import Bundle  # noqa: PLC0415 - --help does without
        from modelway.bundle.signing import VERIFY_KEY_FILE  # noqa: PLC0415 - as above

        return Bundle.open(folder, verify_key=verify_key or Home.current().keys / VERIFY_KEY_FILE)
    if not model:
        raise ConfigError(
            "no model named", expected="NAME, NAME@VERSION, or --bundle DIR", remedy="modelway models list"
        )
    return _registered(model)


def _registered(model: str) -> "Bundle":
    from stacks.environment import activate_home  # noqa: PLC0415 - --help does without

    activate_home()
    from modelway.cli.models import parsed  # noqa: PLC0415 - as above
    from stacks.active import registry  # noqa: PLC0415 - ZenML and MLflow, seconds that --bundle need not pay

    return registry().bundle(*parsed(model))


def _matrix(bundle: "Bundle", rows: Path | None) -> "npt.NDArray[np.float32]":
    """Encoded rows: the file's, or those of the drift reference, which are stored encoded."""
    import polars as pl  # noqa: PLC0415 - --help does without

    from modelway.training.encoding import encode  # noqa: PLC0415 - as above

    if rows is None:
        return (
            pl.read_parquet(bundle.reference, columns=list(bundle.signature.names))
            .to_numpy()
            .astype("float32", order="C")
        )
    try:
        frame = pl.read_parquet(rows)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(
            f"{rows} cannot be read: {str(error).splitlines()[0]}",
            expected="a Parquet file with the model's inputs by name",
            remedy="leave --rows out to take the bundle's own reference rows",
        ) from error
    return encode(frame, bundle.signature)


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    return str(value)
