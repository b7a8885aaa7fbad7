"""x."""
from collections.abc import Mapping
from typing import Any
from modelway.contract import Verdict
from modelway.evaluation.record import Evaluation
def render_report(evaluation: Evaluation, verdict: Verdict, *, title: str, lineage: Mapping[str, Any]) -> str:
    """X."""
    return title
