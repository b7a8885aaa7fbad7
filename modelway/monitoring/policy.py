"""How much evidence monitoring wants, and what it calls an alarm."""

from pydantic import Field

from modelway.contract import Frozen


class DriftPolicy(Frozen):
    """When a column counts as drifted.

    The defaults gave no false alarm in the measurements of docs/adr/0080, and found a shift of 0.3
    standard deviations in one of thirty columns every time.
    """

    false_discovery_rate: float = Field(default=0.05, gt=0, lt=1)
    """Of Benjamini-Hochberg over all columns of one window."""
    alarm_effect: float = Field(default=0.1, gt=0, le=1)
    """KS distance or total variation from which on a significant difference counts."""
    warn_effect: float = Field(default=0.05, gt=0, le=1)
    """The same, for a warning that decides nothing."""
    needed: int = Field(default=2, ge=1)
    """In how many …"""
    recent: int = Field(default=3, ge=1)
    """… of this many newest windows a column must differ to alarm."""
    min_rows: int = Field(default=200, ge=1)
    """A window with fewer rows is not looked at."""
    max_fallback_share: float = Field(default=0.05, ge=0, lt=1)
    """Part of a window's rows that the fallback rule may have answered; with more nothing is cleared."""


class PerformancePolicy(Frozen):
    """When a model counts as decayed."""

    min_positives: int = Field(default=30, ge=1)
    """Matured positives (and negatives) below which nothing is said."""
    judged_positives: int = Field(default=200, ge=1)
    """Judged are the newest windows that together hold so many matured positives; older ones are shown."""
    max_roc_auc_loss: float = Field(default=0.05, ge=0, lt=1)
    """How far below the recorded reference the matured ROC-AUC may lie."""
    max_rate_ratio: float = Field(default=2.0, gt=1)
    """Observed over predicted base rate, or its inverse, that calibration may be off."""
    seed: int = 0
    """Of the bootstrap."""


class RetrainPolicy(Frozen):
    """What asks for a new model, and what holds it back."""

    max_age_days: int = Field(default=365, gt=0)
    """A champion whose knowledge is older asks for a successor."""
    min_new_matured_share: float = Field(default=0.5, gt=0)
    """Rows matured since the champion learnt, over the rows it learnt from, that ask for a successor."""
    min_gap_days: int = Field(default=28, ge=0)
    """No new cycle within so many days of the last one that trained."""
    needed: int = Field(default=1, ge=1)
    """Drift and decay must be seen in so many …"""
    recent: int = Field(default=1, ge=1)
    """… of this many newest looks, this one among them."""


class SkewPolicy(Frozen):
    """When served features count as other ones than training's."""

    relative_tolerance: float = Field(default=1e-6, ge=0)
    """Of the larger of two numbers: eight steps of float32, for sums that were added in another order."""
    absolute_tolerance: float = Field(default=1e-9, ge=0)
    max_differing_share: float = Field(default=0.01, ge=0, lt=1)
    """Part of a feature's compared rows that may differ."""
    min_rows: int = Field(default=200, ge=1)
    """Fewer compared rows clear nothing."""
    min_compared_share: float = Field(default=0.5, ge=0, le=1)
    """Part of the logged rows that must be found in the history for the rest to be believed."""
    worst_shown: int = Field(default=5, ge=0)
    """Examples per feature: so many missing on one side, and so many that differ."""


class MonitoringPolicy(Frozen):
    """Everything a monitoring run is told."""

    window_days: int = Field(default=30, gt=0)
    """Length of a window of event time, days."""
    windows: int = Field(default=12, ge=1)
    """How many windows back drift is shown."""
    performance_windows: int = Field(default=36, ge=1)
    """How many windows back matured labels are looked for: as long as labels take to mature."""
    drift: DriftPolicy = DriftPolicy()
    performance: PerformancePolicy = PerformancePolicy()
    retrain: RetrainPolicy = RetrainPolicy()
