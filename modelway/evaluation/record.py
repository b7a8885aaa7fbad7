"""What an evaluation found: plain frozen data, the same in memory, as JSON and on the report page."""

from collections.abc import Mapping

from modelway.contract import CostMatrix, Frozen
from modelway.evaluation.findings import (
    ErrorReport,
    Explanation,
    Robustness,
    Search,
    ThresholdReport,
    Unfamiliarity,
)
from modelway.stats.bootstrap import UNDEFINED, Estimate, Sampling

REDUCED_METRICS = (
    "base_rate",
    "mean_score",
    "roc_auc",
    "pr_auc",
    "brier",
    "selection_rate",
    "recall",
    "false_positive_rate",
)
"""What a subgroup or a period is described by."""


class MetricInfo(Frozen):
    """How a metric is called and read by people."""

    label: str
    meaning: str
    better: str = ""
    """`higher`, `lower`, or nothing where neither is better."""


METRICS: Mapping[str, MetricInfo] = {
    "roc_auc": MetricInfo(
        label="ROC-AUC", meaning="chance that a positive scores above a negative", better="higher"
    ),
    "pr_auc": MetricInfo(label="PR-AUC", meaning="average precision over all recalls", better="higher"),
    "pr_auc_lift": MetricInfo(
        label="PR-AUC lift", meaning="PR-AUC over the base rate; 1 is chance", better="higher"
    ),
    "log_loss": MetricInfo(label="Log loss", meaning="nats a row", better="lower"),
    "brier": MetricInfo(
        label="Brier score", meaning="mean squared distance of score and outcome", better="lower"
    ),
    "ece": MetricInfo(
        label="Calibration error", meaning="mean |observed rate - score| over score bins", better="lower"
    ),
    "base_rate": MetricInfo(label="Base rate", meaning="share of positives"),
    "mean_score": MetricInfo(label="Mean score", meaning="what the model promised on average"),
    "selection_rate": MetricInfo(label="Flagged", meaning="share of rows at or above the threshold"),
    "precision": MetricInfo(
        label="Precision", meaning="share of positives among the flagged", better="higher"
    ),
    "recall": MetricInfo(label="Recall", meaning="share of the positives that was flagged", better="higher"),
    "f1": MetricInfo(label="F1", meaning="harmonic mean of precision and recall", better="higher"),
    "cost_per_row": MetricInfo(
        label="Cost per row", meaning="of wrong decisions at the threshold", better="lower"
    ),
}


class Curve(Frozen):
    """A line to draw, thinned to what an eye can tell apart."""

    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()


class Confusion(Frozen):
    """Rows by decision and outcome."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int


class ReliabilityRow(Frozen):
    """Rows of similar score: what was promised, what happened, and the interval of the latter."""

    rows: int
    positives: int
    mean_score: float
    observed: float
    low: float
    high: float


class Histogram(Frozen):
    """Scores by outcome: counts between consecutive edges."""

    edges: tuple[float, ...] = ()
    negatives: tuple[int, ...] = ()
    positives: tuple[int, ...] = ()


class Group(Frozen):
    """One subgroup or period."""

    name: str
    rows: int
    positives: int
    judged: bool
    """Whether it has rows and both outcomes enough for its metrics to mean something."""
    metrics: Mapping[str, Estimate]
    confusion: Confusion | None = None
    """None where a score is no probability, and in records older than this field."""

    def metric(self, name: str) -> Estimate:
        """The metric, or undefined where the group has none."""
        return self.metrics.get(name, UNDEFINED)


class SliceReport(Frozen):
    """All groups of one feature, and how differently they are treated."""

    name: str
    groups: tuple[Group, ...]
    demographic_parity_difference: Estimate
    """Largest minus smallest share flagged, over the judged groups."""
    equal_opportunity_difference: Estimate
    """Largest minus smallest recall, over the judged groups."""
    demographic_parity_ratio: Estimate = UNDEFINED
    """Smallest over largest share flagged."""
    equalized_odds_difference: Estimate = UNDEFINED
    """The larger of two: largest minus smallest recall, and the same of the false-positive rate."""
    equalized_odds_ratio: Estimate = UNDEFINED
    """The smaller of two: smallest over largest recall, and the same of the false-positive rate."""

    @property
    def judged(self) -> tuple[Group, ...]:
        """The groups that are large enough."""
        return tuple(group for group in self.groups if group.judged)


class Comparison(Frozen):
    """This model against the one in production, on the very same rows."""

    invalid_scores: int
    """Champion scores that are no probabilities; any at all and nothing is compared."""
    champion: Mapping[str, Estimate]
    difference: Mapping[str, Estimate]
    """This model minus the champion, under the same resamples."""
    roc: Curve = Curve()
    pr: Curve = Curve()


class Evaluation(Frozen):
    """Everything that the held-out rows say about a model. It holds no opinion: see `gates`."""

    rows: int
    positives: int
    invalid_scores: int
    """Scores that are no probabilities; any at all and no metric is defined."""
    first_time: str | None
    last_time: str | None
    threshold: float
    costs: CostMatrix
    sampling: Sampling
    min_slice_rows: int
    metrics: Mapping[str, Estimate]
    cost_per_row_if_none_flagged: float | None
    """What the same rows cost without a model that flags anything."""
    confusion: Confusion | None
    reliability: tuple[ReliabilityRow, ...]
    roc: Curve
    pr: Curve
    histogram: Histogram
    slices: tuple[SliceReport, ...]
    over_time: tuple[Group, ...]
    comparison: Comparison | None
    """None when there is no champion."""
    thresholds: ThresholdReport | None = None
    robustness: Robustness | None = None
    explanation: Explanation | None = None
    errors: ErrorReport | None = None
    unfamiliarity: Unfamiliarity | None = None
    search: Search | None = None
    """None in records older than this field."""
    test_openings: int | None = None
    """How many different models were measured on these very rows, this one too; None: nobody counted."""

    def metric(self, name: str) -> Estimate:
        """The metric, or undefined where the rows do not define it."""
        return self.metrics.get(name, UNDEFINED)

    def values(self) -> dict[str, float]:
        """The defined metrics as plain numbers, for a tracker."""
        return {name: found.value for name, found in self.metrics.items() if found.value is not None}
