"""`modelway retrain`: the continuous-training flow, here and now, on the active stack."""

from datetime import datetime

import typer

from modelway.cli.output import emit
from modelway.cli.runs import day_in_utc, ready_stack

app = typer.Typer(add_completion=False, help="Run continuous training: look, decide, train, roll out.")


@app.command()
def retrain(
    use_case: str = typer.Argument("credit", help="Which problem."),
    as_of: datetime = typer.Option(
        None, formats=["%Y-%m-%d"], help="End of the newest window, UTC; today when left out."
    ),
    source: str = typer.Option(None, help="Where the data is; the use case's default when left out."),
    trials: int = typer.Option(4, min=1, help="Hyper-parameter trials per kind of model."),
    rate_rps: float = typer.Option(0.0, min=0, help="Real rows offered during the canary; 0: only users'."),
    go_on_unseen: bool = typer.Option(
        False, "--go-on-unseen", help="Roll out also where too few served features could be compared."
    ),
    json_: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Train a challenger when something asks for one, and bring it to traffic. Exit code 1 on a "no"."""
    ready_stack()
    from flows.bridge import output  # noqa: PLC0415 - Prefect and ZenML, seconds
    from flows.continuous_training import (  # noqa: PLC0415 - as above
        ContinuousTrainingConfig,
        continuous_training_flow,
    )

    day = day_in_utc(as_of)
    config = ContinuousTrainingConfig(
        use_case=use_case,
        source=source,
        as_of=day,
        trials=trials,
        rehearsal_rate_rps=rate_rps,
        unseen_skew="go_on" if go_on_unseen else "hold",
    )
    run = continuous_training_flow(config)
    decision = output(run, "monitoring_report").decision
    released = output(run, "rollout_verdict").version.reference if decision.retrain else None
    facts = {"asked_by": ", ".join(decision.causes), "retrained": decision.retrain, "live": released}
    emit([facts], as_json=json_, title=f"Continuous training as of {day:%Y-%m-%d}")
