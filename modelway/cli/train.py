"""`modelway train`: the training flow, here and now, on the active stack."""

from datetime import datetime

import typer

from modelway.cli.output import emit
from modelway.cli.runs import day_in_utc, ready_stack

app = typer.Typer(add_completion=False, help="Train, evaluate and register a challenger.")


@app.command()
def train(
    use_case: str = typer.Argument("credit", help="Which problem; `modelway usecase list`."),
    as_of: datetime = typer.Option(
        None, formats=["%Y-%m-%d"], help="What was known then may be learnt, UTC; today when left out."
    ),
    source: str = typer.Option(None, help="Where the data is; the use case's default when left out."),
    trials: int = typer.Option(4, min=1, help="Hyper-parameter trials per kind of model."),
    seed: int = typer.Option(7, help="Decides all randomness."),
    study: str = typer.Option(None, help="Share the trials under this name: join, or go on after a kill."),
    json_: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """From raw data to a registered version. Exit code 1 when a gate says no."""
    ready_stack()
    from flows.bridge import output  # noqa: PLC0415 - Prefect and ZenML, seconds
    from flows.training import TrainingConfig, training_flow  # noqa: PLC0415 - as above
    from stacks.reports import evaluation_page  # noqa: PLC0415 - as above

    config = TrainingConfig(
        use_case=use_case, source=source, as_of=day_in_utc(as_of), trials=trials, seed=seed, study=study
    )
    run = training_flow(config)
    version, trained = output(run, "registered_version"), output(run, "trained")
    facts = {"version": version.reference, "stage": version.stage.value, "kind": trained.kind}
    quality = {name: round(value, 4) for name, value in output(run, "evaluation").values().items()}
    shown = {name: quality.get(name) for name in ("roc_auc", "pr_auc", "ece")}
    emit([{**facts, **shown, "report": str(evaluation_page(version))}], as_json=json_, title="Registered")
