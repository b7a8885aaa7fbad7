"""The same as the page, for machines: one JSON document, and metrics under the names MLflow gives them."""

import json
from collections.abc import Mapping
from typing import Any

from modelway.contract import Verdict
from modelway.evaluation.record import Evaluation

FORMAT = "modelway-evaluation-report/1"

_NAMES = {
    "roc_auc": "roc_auc",
    "pr_auc": "precision_recall_auc",
    "log_loss": "log_loss",
    "precision": "precision_score",
    "recall": "recall_score",
    "f1": "f1_score",
}
"""Ours, and what `mlflow.models.evaluate` calls the same number of a binary classifier."""


def report_json(evaluation: Evaluation, verdict: Verdict, *, title: str, lineage: Mapping[str, Any]) -> str:
    """Everything that `render_report` shows, from the same arguments, as strict JSON.

    A number that is none becomes null. Keys are sorted: the same report is the same text.
    """
    content = {
        "format": FORMAT,
        "title": title,
        "verdict": json.loads(verdict.model_dump_json()),
        "evaluation": json.loads(evaluation.model_dump_json()),
        "mlflow_metrics": mlflow_metrics(evaluation),
        "lineage": dict(lineage),
    }
    return json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def mlflow_metrics(evaluation: Evaluation) -> dict[str, float]:
    """The defined metrics, under the names that `mlflow.models.evaluate` gives a binary classifier.

    So that runs of ours and runs evaluated by MLflow stand in the same columns. What MLflow has no name for
    keeps ours: `brier`, `ece`, `cost_per_row`, …
    """
    found = {_NAMES.get(name, name): value for name, value in evaluation.values().items()}
    counted = evaluation.confusion
    if counted is None:
        return {"example_count": float(evaluation.rows), **found}
    right = counted.true_positives + counted.true_negatives
    return {
        "example_count": float(evaluation.rows),
        "accuracy_score": right / evaluation.rows,
        **{name: float(value) for name, value in counted.model_dump().items()},
        **found,
    }
