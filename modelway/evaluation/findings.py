"""What a closer look at a model found: thresholds, disturbed inputs, reasons for answers, errors, strangers.

Plain frozen data like `record`, and parts of it. Every part is None in an evaluation that did not look.
"""

from collections.abc import Mapping

from modelway.contract import Frozen
from modelway.stats.bootstrap import UNDEFINED, Estimate
from modelway.training.artifacts import Finalist


class ThresholdPoint(Frozen):
    """Decisions at one threshold."""

    threshold: float
    selection_rate: float
    recall: float | None
    """None without positives."""
    precision: float | None
    """None where nothing is flagged."""
    cost_per_row: Estimate


class ThresholdReport(Frozen):
    """Decisions at many thresholds, lowest first."""

    points: tuple[ThresholdPoint, ...]
    in_use: ThresholdPoint
    cheapest: ThresholdPoint
    """On these rows, with hindsight."""
    saving: Estimate = UNDEFINED
    """Cost a row in use minus the cheapest one's; its interval chooses the cheapest in each resample."""


class Disturbance(Frozen):
    """The same rows with something wrong about their inputs, and what became of the answers."""

    kind: str
    """`noise`, `missing`, `unit`."""
    what: str
    """In words: which columns, how much."""
    roc_auc: Estimate
    roc_auc_change: Estimate
    """Disturbed minus undisturbed, on the same rows."""
    flip_rate: float
    """Share of rows whose decision changed."""
    mean_shift: float | None
    """Mean |difference| of the probability; None where some are no probabilities."""
    rank_correlation: float | None = None
    """Of the answers with the undisturbed ones; None where either are all the same."""
    invalid_scores: int = 0
    """Answers that are no probabilities any more."""


class Attack(Frozen):
    """How many chosen changes of an input turn a decision."""

    rows: int
    """Rows tried, seeded sample."""
    reach: float
    """How far a number may move, as a share of the rows; a category may become any other."""
    flipped: tuple[float, ...]
    """Share of decisions turned by one change, by at most two, …"""
    mean_move: tuple[float, ...]
    """Mean |change| of the probability after one change, two, …"""
    moved: Mapping[str, int]
    """How often each column was in a change that turned a decision, most often first."""


class Robustness(Frozen):
    """Everything about disturbed inputs."""

    rows: int
    disturbances: tuple[Disturbance, ...]
    attack: Attack | None


class Contribution(Frozen):
    """What one input added to one answer."""

    feature: str
    value: str
    """As it was given; `missing` where it was."""
    contribution: float
    """In probability, against the mean answer."""
    error: float
    """Standard error of the sampling."""


class HardRow(Frozen):
    """A row on which the model was most surely wrong, by its key and what moved the answer."""

    key: str
    label: int
    score: float
    loss: float
    """Log loss, nats."""
    contributions: tuple[Contribution, ...] = ()


class Importance(Frozen):
    """How much one input moves the answers."""

    feature: str
    mean_absolute: Estimate
    """Mean |contribution|, in probability."""
    rank_low: int
    rank_high: int
    """Its place among all features: the middle 95 % of the resamples."""


class Explanation(Frozen):
    """Shapley values of the served graph."""

    rows: int
    references: int
    """Training rows that stand in for what is not known."""
    base: float
    """Mean answer on the references; each row's contributions add up to its answer minus this."""
    importance: tuple[Importance, ...]
    """Most important first."""
    stability: float | None
    """Mean rank correlation of the importances between two halves of the rows; None where nothing moves."""


class ErrorGroup(Frozen):
    """Rows, described in words, on which the promises were off; measured on rows that did not find it."""

    words: str
    rows: int
    positives: int
    observed: float
    mean_score: float
    gap: Estimate
    """Observed rate minus mean score; the interval is wider the more groups were looked at."""
    surely_off: bool
    """Whether the whole interval lies on one side of zero."""
    cost_share: float | None
    """Share of all cost of wrong decisions; None where there was no cost."""


class ErrorReport(Frozen):
    """Where the model is wrong."""

    groups: tuple[ErrorGroup, ...] = ()
    """Those that are surely off first, then by gap; none when the rows are too few to be split."""
    hard_rows: tuple[HardRow, ...] = ()


class Shift(Frozen):
    """Rows that come from elsewhere, and how well the score tells them from the test rows."""

    what: str
    rows: int
    roc_auc: Estimate


class Unfamiliarity(Frozen):
    """A score for how unlike the training rows a row is, and whether it would notice."""

    references: int
    median: float
    limit: float
    """99th percentile of the score on the training rows."""
    beyond_limit: float
    """Share of the test rows above it."""
    shifts: tuple[Shift, ...]


class Search(Frozen):
    """The search that the model won: who stood in it at the end, and why it was chosen."""

    trials: int
    """All attempts, those that were given up among them."""
    finalists: tuple[Finalist, ...]
    """In order of preference; quality, work, size and learning cost are compared, never a clock."""
    reason: str
    """Why this candidate, in one sentence."""
    calibrator: str
    calibrator_reason: str = ""
    """Why this way of calibrating."""
