"""The winner, fitted again on all train rows and calibrated on rows of its own."""

import numpy as np
import polars as pl

from modelway.bundle.signature import Signature
from modelway.errors import GateError
from modelway.training.calibration import AnyCalibrator
from modelway.training.calibrator_choice import CalibratorChoice, choose_calibrator
from modelway.training.calibrator_fits import fit_method
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import FittedModel, Margins, Recipe, Rows, ignore_epoch
from modelway.training.encoding import encode, labels, seen_by_model
from modelway.training.policy import CalibratorMethod
from modelway.training.splits import Splits


def rows_of(frame: pl.DataFrame, signature: Signature) -> Rows:
    """A frame as the matrix and labels that fitters take."""
    return Rows(X=seen_by_model(encode(frame, signature), signature), y=labels(frame))


def fit(
    kind: str, recipe: Recipe, signature: Signature, splits: Splits, methods: tuple[CalibratorMethod, ...]
) -> tuple[FittedModel, AnyCalibrator, CalibratorChoice]:
    """Fit one recipe on all train rows, and the calibrator that its calibration rows ask for.

    Args:
        kind: `hgb`, `mlp`, …
        recipe: Every hyper-parameter, the number of rounds among them, and the seed.
        signature: How the rows become a matrix.
        splits: From `split_by_time`; the test rows are not looked at.
        methods: Ways of calibrating to choose among; one is taken as it is.

    Raises:
        GateError: The model gives no finite scores.
        ConfigError: An unknown kind or hyper-parameter.
    """
    train, calibration = (
        rows_of(splits.train.load(), signature),
        rows_of(splits.calibration.load(), signature),
    )
    model = kind_named(kind).fit(train, None, recipe, ignore_epoch)
    margins = _finite(model.margins(calibration.X), kind)
    choice = choose_calibrator(methods, margins, calibration.y, recipe.seed)
    return model, fit_method(choice.method, margins, calibration.y), choice


def _finite(margins: Margins, kind: str) -> Margins:
    if not np.isfinite(margins).all():
        raise GateError(
            f"the {kind} fitted on all train rows gives no finite scores",
            expected="log-odds for every calibration row",
            remedy="lower the learning rates in the use case's candidates",
        )
    return margins
