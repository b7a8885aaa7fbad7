"""The winner, fitted again on the train and the calibration rows, and calibrated by a cross-fit (ADR 28)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from modelway.bundle.signature import Signature
from modelway.errors import GateError
from modelway.training.calibration import AnyCalibrator
from modelway.training.calibration_parts import Groups, dealt, groups_of
from modelway.training.calibrator_choice import CalibratorChoice, choose_calibrator
from modelway.training.calibrator_fits import fit_method
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import FittedModel, Margins, Recipe, Rows, ignore_epoch
from modelway.training.encoding import Labels, encode, labels, seen_by_model
from modelway.training.policy import CalibratorMethod
from modelway.training.splits import Splits

Mask = npt.NDArray[np.bool_]


def rows_of(frame: pl.DataFrame, signature: Signature) -> Rows:
    """A frame as the matrix and labels that fitters take."""
    return Rows(X=seen_by_model(encode(frame, signature), signature), y=labels(frame))


PARTS = 3
"""Of the calibration rows; each is scored by a model that has learnt from all rows but that part."""


@dataclass(frozen=True)
class Fitted:
    """A model and its calibrator, with what the calibrator was fitted on."""

    model: FittedModel
    calibrator: AnyCalibrator
    choice: CalibratorChoice
    calibration_y: Labels
    """Labels of the calibration rows, shape (n,)."""
    margins: Margins
    """Log-odds of the calibration rows, shape (n,), each by a model that had not seen the row."""


def fit(
    kind: str, recipe: Recipe, signature: Signature, splits: Splits, methods: tuple[CalibratorMethod, ...]
) -> Fitted:
    """Fit one recipe on the train and the calibration rows, and the calibrator that the latter ask for.

    The calibration rows are the newest that may be learnt from: where the world drifts, they teach most. So
    that the calibrator still sees rows as a new one will look, each of their parts is scored by a model that
    has learnt from all rows but that part. Rows of one group are in one part.

    Args:
        kind: `hgb`, `mlp`, …
        recipe: Every hyper-parameter, the number of rounds among them, and the seed.
        signature: How the rows become a matrix.
        splits: From `split_by_time`; the test rows are not looked at.
        methods: Ways of calibrating to choose among; one is taken as it is.

    Raises:
        GateError: A model gives no finite scores.
        ConfigError: An unknown kind or hyper-parameter.

    Source:
        The cross-fit of scikit-learn's `CalibratedClassifierCV(ensemble=False)`, its parts taken from the
        newest rows alone.
    """
    calibration = splits.calibration.load()
    train, newest = (rows_of(frame, signature) for frame in (splits.train.load(), calibration))
    groups = groups_of(calibration)
    margins = np.empty(len(newest.y))
    for part, others in _parts(newest.y, recipe.seed, groups):
        model = _learnt(kind, recipe, _joined(train, newest, others))
        margins[part] = _finite(model.margins(newest.X[part]), kind)
    choice = choose_calibrator(methods, margins, newest.y, recipe.seed, groups)
    calibrator = fit_method(choice.method, margins, newest.y)
    model = _learnt(kind, recipe, _joined(train, newest, np.ones(len(newest.y), dtype=np.bool_)))
    _finite(model.margins(newest.X), kind)
    return Fitted(model, calibrator, choice, newest.y, margins)


def _parts(y: Labels, seed: int, groups: Groups | None) -> Iterator[tuple[Mask, Mask]]:
    part = dealt(y, PARTS, seed, groups)
    return ((part == number, part != number) for number in range(PARTS))


def _joined(train: Rows, newest: Rows, taken: Mask) -> Rows:
    return Rows(np.concatenate([train.X, newest.X[taken]]), np.concatenate([train.y, newest.y[taken]]))


def _learnt(kind: str, recipe: Recipe, rows: Rows) -> FittedModel:
    return kind_named(kind).fit(rows, None, recipe, ignore_epoch)


def _finite(margins: Margins, kind: str) -> Margins:
    if not np.isfinite(margins).all():
        raise GateError(
            f"the {kind} fitted on all that it may learn from gives no finite scores",
            expected="log-odds for every calibration row",
            remedy="lower the learning rates in the use case's candidates",
        )
    return margins
