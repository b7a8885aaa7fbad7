"""`modelway evaluate`: what the held-out rows said about a registered model."""

from typing import TYPE_CHECKING, Any

import typer

from modelway.cli.naming import parsed
from modelway.cli.output import emit

if TYPE_CHECKING:
    from modelway.evaluation.record import Evaluation
    from modelway.registry.registry import Registry

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Show the evaluation of a registered model."
)


@app.callback()
def evaluations() -> None:
    """Show the evaluation of a registered model."""


@app.command()
def show(
    model: str = typer.Argument(help="NAME, NAME@3, NAME@1.2.0, NAME@champion or NAME@challenger."),
    json_: bool = typer.Option(False, "--json", help="Print the whole evaluation as JSON."),
) -> None:
    """Print every metric with its interval, the limits, and where the HTML report lies."""
    registry, (name, reference) = _registry(), parsed(model)
    version = registry.get(name, reference)
    evaluation = registry.evaluation(name, version.version)
    report = registry.report(name, version.version)
    if json_:
        found = {"model": version.reference, "report": str(report), "verdict": version.verdict}
        emit([{**_jsonable(found), "evaluation": _jsonable(evaluation)}], as_json=True)
        return
    emit(_metrics(evaluation), as_json=False, title=f"{version.reference}: {evaluation.rows:,} held-out rows")
    limits = [
        {"limit on": r.metric, "verdict": r.outcome.value, "found": r.message}
        for r in version.verdict.reasons
    ]
    emit(limits, as_json=False, title=f"Gates: {version.verdict.outcome.value}")
    if closer := _closer(evaluation):
        emit(closer, as_json=False, title="A closer look; the report has the rest")
    print(f"report: {report}")


def _metrics(evaluation: "Evaluation") -> list[dict[str, Any]]:
    from modelway.evaluation.record import METRICS  # noqa: PLC0415 - numpy, 100 ms that --help need not pay

    return [
        {
            "metric": info.label,
            "value": _rounded(evaluation.metric(name).value),
            "low": _rounded(evaluation.metric(name).low),
            "high": _rounded(evaluation.metric(name).high),
            "champion": _champion(evaluation, name),
        }
        for name, info in METRICS.items()
    ]


def _closer(evaluation: "Evaluation") -> list[dict[str, str]]:
    """The one finding of each look that people should not miss; nothing for what was not looked at."""
    found = {
        "strongest input": _strongest(evaluation),
        "worst single disturbance": _worst(evaluation),
        "groups surely off": _off(evaluation),
        "test rows unlike training rows": _strange(evaluation),
        "models measured on these rows": str(evaluation.test_openings or ""),
    }
    return [{"look": look, "found": text} for look, text in found.items() if text]


def _strongest(evaluation: "Evaluation") -> str:
    listed = evaluation.explanation.importance if evaluation.explanation else ()
    return f"{listed[0].feature}, moves answers by {listed[0].mean_absolute.text(4)}" if listed else ""


def _worst(evaluation: "Evaluation") -> str:
    tried = evaluation.robustness.disturbances if evaluation.robustness else ()
    known = [(each.roc_auc_change.value, each) for each in tried if each.roc_auc_change.value is not None]
    if not known:
        return ""
    worst = min(known, key=lambda pair: pair[0])[1]
    return f"{worst.what}: ROC-AUC {worst.roc_auc_change.text()}"


def _off(evaluation: "Evaluation") -> str:
    if evaluation.errors is None:
        return ""
    return "; ".join(group.words for group in evaluation.errors.groups if group.surely_off) or "none"


def _strange(evaluation: "Evaluation") -> str:
    found = evaluation.unfamiliarity
    return f"{found.beyond_limit:.1%}, where 1 % is usual" if found else ""


def _champion(evaluation: "Evaluation", metric: str) -> str | None:
    comparison = evaluation.comparison
    found = comparison.champion.get(metric) if comparison else None
    return found.text(4) if found else None


def _rounded(value: float | None) -> str | None:
    return None if value is None else f"{value:,.4f}"


def _jsonable(found: Any) -> Any:
    from pydantic import TypeAdapter  # noqa: PLC0415 - as above

    return TypeAdapter(Any).dump_python(found, mode="json")


def _registry() -> "Registry":
    from stacks.active import registry  # noqa: PLC0415 - ZenML, seconds that --help need not pay

    return registry()
