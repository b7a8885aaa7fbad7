"""What the parts promise each other: verdicts, limits, the shape of data. Frozen and closed."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import reduce
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Frozen(BaseModel):
    """Base of all configuration and verdicts: immutable, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=True)


def finding(error: Mapping[str, Any], whole: str = "the file") -> str:
    """One of pydantic's errors for people: the key, and what is wrong with it.

    Args:
        error: An entry of `ValidationError.errors()`.
        whole: What to name where the error is not about a key.
    """
    key = ".".join(str(part) for part in error["loc"]) or whole
    return f"`{key}`: {error['msg'].lower()}"


class Outcome(StrEnum):
    """What a gate can decide."""

    PASS = "pass"  # noqa: S105 - a word, no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


_TOLD = 3
"""Messages that a summary holds."""
_SEVERITY = {Outcome.PASS: 0, Outcome.INCONCLUSIVE: 1, Outcome.FAIL: 2}


class Reason(Frozen):
    """One observation behind a verdict."""

    metric: str
    outcome: Outcome
    message: str
    found: float | None = None
    limit: float | None = None
    unit: str = ""
    samples: int | None = None
    """How many observations `found` rests on."""


class Verdict(Frozen):
    """What a gate decided, and on what evidence. INCONCLUSIVE is never treated as PASS."""

    outcome: Outcome
    reasons: tuple[Reason, ...] = ()
    evidence: Mapping[str, Any] = Field(default_factory=dict)
    """JSON-able facts that a reader needs to judge the verdict again."""

    @property
    def passed(self) -> bool:
        """True for PASS alone."""
        return self.outcome is Outcome.PASS

    def __and__(self, other: "Verdict") -> "Verdict":
        """Both together: FAIL before INCONCLUSIVE before PASS; reasons and evidence of both."""
        worse = max(self.outcome, other.outcome, key=_SEVERITY.__getitem__)
        return Verdict(
            outcome=worse,
            reasons=self.reasons + other.reasons,
            evidence={**self.evidence, **other.evidence},
        )

    @classmethod
    def of(cls, reasons: Iterable[Reason], evidence: Mapping[str, Any] | None = None) -> "Verdict":
        """The verdict its reasons add up to. No reason at all is INCONCLUSIVE: nobody looked."""
        reasons = tuple(reasons)
        worst = max((r.outcome for r in reasons), key=_SEVERITY.__getitem__, default=Outcome.INCONCLUSIVE)
        return cls(outcome=worst, reasons=reasons, evidence=evidence or {})

    @classmethod
    def all_of(cls, verdicts: Iterable["Verdict"]) -> "Verdict":
        """Several verdicts as one. None at all is INCONCLUSIVE."""
        verdicts = tuple(verdicts)
        return reduce(lambda a, b: a & b, verdicts) if verdicts else cls.of(())

    def summary(self) -> str:
        """One line for people: the outcome and what explains it; the whole list is in `reasons`."""
        if self.passed:
            return f"{self.outcome.value}: all {len(self.reasons)} checks"
        telling = [r.message for r in self.reasons if r.outcome is self.outcome] or ["nobody looked"]
        more = f"; and {len(telling) - _TOLD} more" if len(telling) > _TOLD else ""
        return f"{self.outcome.value}: " + "; ".join(telling[:_TOLD]) + more


class Slo(Frozen):
    """What the service promises at one offered load."""

    latency_limit_ms: float = Field(gt=0)
    """Largest allowed latency at `latency_percentile`, milliseconds, measured at the client."""
    latency_percentile: float = Field(default=99.0, gt=0, lt=100)
    max_error_rate: float = Field(default=0.001, ge=0, lt=1)
    """Share of requests that may end in a server error (5xx, reset, time-out)."""
    rate_rps: float = Field(gt=0)
    """Offered load at which the promise holds, requests per second."""

    @property
    def max_exceedance(self) -> float:
        """Share of requests that may be slower than the limit."""
        return 1.0 - self.latency_percentile / 100.0


class CostMatrix(Frozen):
    """What each decision costs, in one currency, per row."""

    false_positive: float = Field(ge=0)
    false_negative: float = Field(ge=0)
    currency: str = "USD"


class Gates(Frozen):
    """Limits that a candidate must keep on the held-out-in-time rows."""

    min_roc_auc: float = Field(default=0.5, ge=0, le=1)
    min_pr_auc_lift: float = Field(default=1.0, ge=0)
    """PR-AUC over the base rate: 1 is no better than chance."""
    max_calibration_error: float = Field(default=0.1, gt=0)
    """Expected calibration error, absolute."""
    max_roc_auc_loss: float = Field(default=0.01, ge=0)
    """How far below the champion the interval's upper end of the difference may lie, on the same rows."""
    max_slice_roc_auc_gap: float = Field(default=0.15, gt=0)
    min_slice_rows: int = Field(default=200, gt=0)
    min_rows: int = Field(default=500, gt=0)
    min_positives: int = Field(default=30, gt=0)
    max_demographic_parity_difference: float | None = Field(default=None, gt=0, le=1)
    """Largest minus smallest share flagged between the groups of a slice; None: shown, not judged."""
    max_equalized_odds_difference: float | None = Field(default=None, gt=0, le=1)
    """The same for recall and false-positive rate, the larger of the two; None: shown, not judged."""
    max_test_openings: int | None = Field(default=20, ge=1)
    """How many different models may be measured on the same test rows; None: not limited."""
    max_parity_error: float = Field(default=1e-4, gt=0)
    """Largest |probability difference| between the trained model and its exported graph."""


class Slice(Frozen):
    """A subgroup to watch: one group per distinct value of a feature."""

    name: str
    column: str


class Column(Frozen):
    """One column of the cleaned table."""

    name: str
    kind: Literal["string", "int", "float", "bool", "timestamp"]
    description: str = ""
    nullable: bool = False
    ge: float | None = None
    le: float | None = None
    isin: tuple[str, ...] | None = None
    known_from: str = "known_at"
    """The timestamp column from which on this value is known; before it, an as-of read shows null."""
    strong_because: str = ""
    """Why this column alone may predict the label so well. Without a reason the leak probe fails it."""


class RowRule(Frozen):
    """One named way in which real rows are dirty, and what is done about it."""

    name: str
    message: str
    violated: str
    """SQL expression over the typed columns, true where the rule is broken."""
    action: Literal["quarantine", "repair", "note"]
    """`note`: counted only, because `clean` has put it right already or the model can live with it."""
    column: str | None = None
    """For `repair`: the column that is replaced …"""
    repaired: str | None = None
    """… and the SQL expression that replaces it in the violating rows."""

    @model_validator(mode="after")
    def _repair_is_complete(self) -> Self:
        if self.action == "repair" and not (self.column and self.repaired):
            raise ValueError(f"rule {self.name}: a repair needs `column` and `repaired`")
        return self


class DataContract(Frozen):
    """What a cleaned table promises. Breaking the schema is an error; breaking a rule is counted."""

    version: str
    """Major.minor: minor when data changes, major when the schema does."""
    key: str
    """Column that names the row's subject, unique per table."""
    columns: tuple[Column, ...]
    rules: tuple[RowRule, ...] = ()
    forbidden: tuple[str, ...] = ()
    """Columns no feature may use, because they are only known after the decision."""
    max_quarantined_share: float = Field(default=0.1, ge=0, le=1)
    min_rows: int = Field(default=1, ge=1)


class LabelRule(Frozen):
    """What is predicted, and when its truth is known.

    Either an event within a horizon (`starts_at`, `happened_at`, `horizon_months`), or a value that
    stands in the table (`value`), known from `value_known_from`.
    """

    name: str
    starts_at: str | None = None
    happened_at: str | None = None
    horizon_months: int = Field(default=0, ge=0)
    value: str | None = None
    value_known_from: str = "known_at"

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        event = bool(self.starts_at and self.happened_at and self.horizon_months)
        if event == bool(self.value):
            raise ValueError(
                "a label is either an event (starts_at, happened_at, horizon_months) or a `value`"
            )
        return self


class FloatRange(Frozen):
    """A continuous hyper-parameter."""

    low: float
    high: float
    log: bool = False


class IntRange(Frozen):
    """An integral hyper-parameter."""

    low: int
    high: int
    log: bool = False


class Choice(Frozen):
    """A hyper-parameter out of a list."""

    options: tuple[float | int | str, ...]


class Candidate(Frozen):
    """One kind of model to try, and where to search."""

    kind: str
    """A name of `modelway.training.candidates.KINDS`: `hgb`, `lightgbm`, `logistic`, `mlp`, …"""
    space: Mapping[str, FloatRange | IntRange | Choice]
    fixed: Mapping[str, float | int | str] = Field(default_factory=dict)
