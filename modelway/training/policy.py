"""How a use case wants its candidates searched, judged and calibrated. The defaults are ADR 32's."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from modelway.contract import Frozen
from modelway.errors import ConfigError

if TYPE_CHECKING:
    from modelway.usecase import UseCase

CalibratorMethod = Literal["none", "temperature", "platt", "beta", "isotonic"]
"""Simplest first: 0, 1, 2, 3 parameters, then as many as the rows ask for."""
SIMPLEST_FIRST: tuple[CalibratorMethod, ...] = ("none", "temperature", "platt", "beta", "isotonic")
Cost = Literal["operations", "bytes", "row_visits"]
"""What a model costs, by counts that no clock has a part in."""


class Validation(Frozen):
    """Which of the rows that teach, train and calibration, the trials are chosen by."""

    folds: int = Field(default=1, ge=1)
    """1: the newest share alone, nothing purged. More: that many blocks, purged, and their mean counts."""
    share: float = Field(default=0.25, gt=0, lt=1)
    """Newest share of them that is validated on, all blocks together."""
    embargo_days: FiniteFloat = Field(default=0.0, ge=0)
    """How long after a block's last label rows are left out too, where later rows are learnt from."""
    later_rows: bool = False
    """Learn from rows after a block as well, and validate on all rows: purged k-fold."""

    @model_validator(mode="after")
    def _one_block_has_nothing_after_it(self) -> Self:
        if self.folds == 1 and (self.later_rows or self.embargo_days):
            raise ValueError("later_rows and embargo_days need folds of 2 or more")
        return self


class Search(Frozen):
    """How trials are drawn and when they are given up."""

    pruner: Literal["none", "median", "halving"] = "none"
    """Give up a trial whose losses per epoch lag; only kinds that report epochs as they go can be.

    None of a candidate that searches over `class_weight` or `focal_gamma`: losses would not compare."""
    at_once: int = Field(default=1, ge=1)
    """Trials drawn knowing the same finished ones, so that several processes can work on them."""


class Preference(Frozen):
    """What a model may cost, and what cheapness is worth. By default quality decides alone."""

    max_operations: int | None = Field(default=None, ge=1)
    """Arithmetic operations and comparisons for one row, most."""
    max_bytes: int | None = Field(default=None, ge=1)
    """Of the graph, most."""
    halving_worth: Mapping[Cost, FiniteFloat] = Field(default_factory=dict)
    """How many standard errors of PR-AUC it is worth to halve a cost; empty: the plainest within one wins."""

    @model_validator(mode="after")
    def _worth_is_not_negative(self) -> Self:
        if any(worth < 0 for worth in self.halving_worth.values()):
            raise ValueError("halving_worth is 0 or more: nobody pays for a dearer model")
        return self


class TrainingPolicy(Frozen):
    """A use case may offer one as its attribute `training`."""

    validation: Validation = Validation()
    search: Search = Search()
    preference: Preference = Preference()
    max_forgetting: float = Field(default=0.02, ge=0)
    """ROC-AUC that a challenger that replays old rows may lose on those that it has not seen."""
    calibrators: tuple[CalibratorMethod, ...] = Field(default=("platt",), min_length=1)
    """Methods to choose among, by a proper score on the calibration rows."""
    group: str | None = None
    """Column of the contract that says which rows share a fate: a card, a customer. The cross-fit of
    the calibrator tears none of them apart."""


def training_policy(use_case: "UseCase") -> TrainingPolicy:
    """The use case's attribute `training`, or the defaults.

    Raises:
        ConfigError: It is something else.
    """
    policy = getattr(use_case, "training", TrainingPolicy())
    if not isinstance(policy, TrainingPolicy):
        raise ConfigError(
            f"training of use case {use_case.name} is a {type(policy).__name__}",
            expected="a TrainingPolicy",
            remedy="see docs/how-to/tune-and-choose.md",
        )
    return policy
