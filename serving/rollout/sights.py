"""What some targets can see or do beyond `Target`, and the strategies need: one small protocol each.

A target without one of them is refused before anything begins; it is never taken for "nothing to see".
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

from pydantic import Field

from modelway.contract import Frozen
from modelway.stats.sequential import Counts
from serving.rollout.target import Revision, RevisionId, Window

SHIFT_BINS = 200
"""Differences of probabilities are counted in so many equal bins of [0, 1]."""


class Pairs(Frozen):
    """Answers of two revisions to the same requests."""

    compared: int = Field(ge=0)
    """Requests that both answered."""
    changed: int = Field(ge=0)
    """Of those: decided differently."""
    shifts: tuple[int, ...] = (0,) * SHIFT_BINS
    """Of those: how many differ by so much in probability, per bin."""
    unpaired: int = Field(default=0, ge=0)
    """Stable answers that should have had a partner by now and have none."""


class Smoke(Frozen):
    """Requests of ours to one revision, whose right answers are known."""

    asked: int = Field(ge=0)
    wrong: int = Field(ge=0)
    problem: str = ""
    """The first wrong answer, in one line."""


class Slot(Frozen):
    """A fixed stretch of the keys' hash range and who serves it."""

    revision: RevisionId
    percent: int = Field(gt=0, le=100)


class RewardKind(StrEnum):
    """What an arm of an a-b test is compared by."""

    DECISION = "decision"
    """1 where the model decided positively: needs no label."""
    FILE = "file"
    """0 or 1 per request id or key, from a file that grows, e.g. matured labels."""


class RewardSource(Frozen):
    """Where the pre-registered metric comes from."""

    kind: RewardKind = RewardKind.DECISION
    path: Path | None = None
    """For `file`: CSV or Parquet with the columns `key` and `reward`; `key` is a request id or an entity."""


@runtime_checkable
class ComparesAnswers(Protocol):
    """Knows what two revisions answered to the same requests."""

    def pairs(self, window: Window, stable: Revision, canary: Revision) -> Pairs | None:
        """Totals since the window opened; None when nothing can be known."""
        ...


@runtime_checkable
class Smokes(Protocol):
    """Can ask one revision directly."""

    def smoke(self, revision: Revision) -> Smoke | None:
        """Ask what is known to be right; None when it could not be asked."""
        ...


@runtime_checkable
class Promotes(Protocol):
    """Keeps a stable revision apart from the one that has all traffic, until told that it is the new one."""

    def promote(self, revision: RevisionId) -> None:
        """Make the revision that has all traffic the stable one. Repeatable."""
        ...


@runtime_checkable
class Keeps(Protocol):
    """Has one place beside the revision that serves, for a former one that stays loaded."""

    def keep(self, revision: Revision | None) -> None:
        """Load it there without traffic; None lets go of what is there. Repeatable."""
        ...


@runtime_checkable
class Sized(Protocol):
    """Knows what a revision needs that gets all traffic in one go."""

    def capacity(self) -> int:
        """Replicas that carry all the traffic now."""
        ...


@runtime_checkable
class Splits(Protocol):
    """Can give the same key the same revision every time, and say what came of it."""

    def split(self, slots: tuple[Slot, ...], *, key_header: str) -> None:
        """Share keys out: the hash of the header's value chooses the slot."""
        ...

    def rewards(
        self, window: Window, arms: Mapping[RevisionId, Revision], source: RewardSource
    ) -> Mapping[RevisionId, Counts]:
        """Rewarded units (trials) and rewards (events) per arm since the window opened.

        A unit is a key, or a request without one; it belongs to the arm that answered it first.
        """
        ...
