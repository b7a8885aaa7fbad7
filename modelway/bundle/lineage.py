"""Where a model comes from: enough to make it again, and nothing that differs when it is."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field, FiniteFloat

from modelway.contract import Frozen


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


class Replay(Frozen):
    """Which rows of before another model's training day are learnt from again."""

    until: Annotated[AwareDatetime, AfterValidator(_in_utc)]
    """That day: rows that matured later are new, and all of them are learnt from."""
    window_months: int = Field(gt=0)
    """How much matured history before that day counts as old."""
    share: float = Field(gt=0, lt=1)
    """Of the old rows; the others stay unseen, to measure forgetting on."""
    seed: int


class Lineage(Frozen):
    """Data, code, seed and parameters of one training.

    No clock time, host, run id or path stands here: the same training must give the same bytes.
    """

    use_case: str
    snapshot_id: str
    """Content id of the data snapshot."""
    as_of: Annotated[AwareDatetime, AfterValidator(_in_utc)]
    """What was known at this moment is all the model learnt from."""
    kind: str
    """Name of the fitter: `hgb`, `mlp`."""
    params: Mapping[str, bool | int | FiniteFloat | str] = Field(default_factory=dict)
    seed: int
    calibrator: Literal["none", "temperature", "platt", "beta", "isotonic"] = "platt"
    """How log-odds became probabilities. Bundles from before it was chosen all have Platt's line."""
    git_commit: str | None = None
    """None when the code did not come from a checkout."""
    lock_sha256: str | None = None
    """Hash of requirements.lock: the exact environment."""
    training_set_sha256: str | None = None
    training_rows: int | None = Field(default=None, ge=0)
    window_months: int | None = Field(default=None, gt=0)
    replay: Replay | None = None
    """None: all matured rows of the window."""
    metrics: Mapping[str, FiniteFloat | None] = Field(default_factory=dict)
    """Of the held-out evaluation; None where a metric is not defined on the rows."""
    libraries: Mapping[str, str] = Field(default_factory=dict)
    """Versions of the libraries that made the graph, by distribution name."""
