"""All probes of one training, as one verdict. A probe that could not look is no pass."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from modelway.contract import Reason, Verdict
from modelway.data.declared import explanations
from modelway.data.leaks import column_powers, leak_reasons
from modelway.probes.derived import derived_reasons
from modelway.probes.duplicates import subject_reason, twin_reason
from modelway.probes.hindsight import hindsight_reasons
from modelway.probes.shuffled import Recipient, shuffled_reason
from modelway.training.artifacts import Trained
from modelway.training.splits import Splits

if TYPE_CHECKING:
    from modelway.usecase import UseCase


def honesty(use_case: "UseCase", history: pl.LazyFrame, splits: Splits, trained: Trained) -> Verdict:
    """Try every probe.

    Args:
        use_case: Contract, label rule, features.
        history: The snapshot as of the day of training.
        splits: The rows the model was made from and is tested on.
        trained: The model.
    """
    return Verdict.of(_reasons(use_case, history, splits, trained))


def _reasons(
    use_case: "UseCase", history: pl.LazyFrame, splits: Splits, trained: Trained
) -> Iterator[Reason]:
    train, test = splits.train.load(), splits.test.load()
    learnt = pl.concat([train, splits.calibration.load()])
    names = list(use_case.features.names)
    powers = column_powers(learnt, names, "label")
    explained = explanations(use_case)
    yield from leak_reasons(powers, forbidden=use_case.contract.forbidden, explained=explained)
    yield from derived_reasons(use_case.features, learnt, powers, explained)
    yield subject_reason(learnt, test, use_case.contract.key)
    yield twin_reason(learnt, test, names)
    yield from hindsight_reasons(use_case, history, pl.concat([learnt, test]))
    yield shuffled_reason(Recipient(trained, learnt, test))
