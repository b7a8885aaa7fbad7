"""`modelway reproduce`: make a registered model again from its lineage, and compare."""

import typer

from modelway.cli.output import emit
from modelway.errors import VerdictError

app = typer.Typer(add_completion=False, help="Make a registered model again and compare.")


@app.command()
def reproduce(
    model: str = typer.Argument(help="NAME@VERSION or NAME@ALIAS, e.g. credit@3."),
    json_: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Rebuild from snapshot, code, lock and seed. Exit code 1 unless rows, bytes and answers agree."""
    from modelway.training.reproduce import reproduce as run  # noqa: PLC0415 - torch, seconds
    from modelway.usecase import load_use_case  # noqa: PLC0415 - polars, 100 ms
    from stacks import active  # noqa: PLC0415 - ZenML, seconds

    name, _, reference = model.partition("@")
    bundle = active.registry().bundle(name, reference or None)
    verdict = run(
        load_use_case(bundle.lineage.use_case), bundle, active.snapshot_store(), active.frames_folder()
    )
    rows = [{"check": r.metric, "outcome": r.outcome.value, "found": r.message} for r in verdict.reasons]
    emit(rows, as_json=json_, title=f"{model} again")
    if not verdict.passed:
        raise VerdictError(
            verdict.summary(),
            expected="the same model",
            remedy="check out the commit and install the lock file that the lineage names, then try again",
        )
