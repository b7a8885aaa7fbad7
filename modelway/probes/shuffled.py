"""Learn from labels dealt at random: a model that then still foresees the test labels was told them."""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from modelway.bundle.signature import Signature
from modelway.contract import Outcome, Reason
from modelway.stats.ranking import roc_auc
from modelway.training.artifacts import Trained
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import Recipe, Rows, ignore_epoch
from modelway.training.encoding import encode, labels, seen_by_model

DEALS = 5
MARGIN = 0.1
"""Above chance by more than this is no accident even where few inputs decide."""
METRIC = "shuffled labels"


@dataclass(frozen=True)
class Recipient:
    """Everything the probe needs of a training."""

    trained: Trained
    train: pl.DataFrame
    test: pl.DataFrame


def shuffled_reason(of: Recipient) -> Reason:
    """Fit the model's own recipe on dealt labels and measure it on the true test labels.

    One such model may rank the test rows well or badly by accident; the mean over the deals must not be
    above chance by more than its own spread allows (four standard errors, at least `MARGIN`).
    """
    y = labels(of.test)
    if len(np.unique(y)) < 2 or len(np.unique(labels(of.train))) < 2:  # noqa: PLR2004 - two classes
        return Reason(metric=METRIC, outcome=Outcome.INCONCLUSIVE, message="only one class among the rows")
    found = np.array([_foresight(of, y, deal) for deal in range(DEALS)])
    error = float(found.std(ddof=1)) / math.sqrt(DEALS)
    limit = 0.5 + max(MARGIN, 4 * error)
    mean = float(found.mean())
    return Reason(
        metric=METRIC,
        outcome=Outcome.FAIL if mean > limit else Outcome.PASS,
        message=f"taught {DEALS} times with dealt labels it reaches ROC-AUC {mean:.2f} on the test rows, "
        f"{'more than' if mean > limit else 'as'} chance explains",
        found=mean,
        limit=limit,
        samples=len(y),
    )


def _foresight(of: Recipient, y: np.ndarray, deal: int) -> float:
    trained = of.trained
    truth = labels(of.train)
    dealt = np.random.default_rng([trained.seed, deal]).permutation(truth)
    recipe = Recipe(trained.signature.columns, dict(trained.params), trained.seed)
    rows = Rows(X=_matrix(of.train, trained.signature), y=dealt)
    model = kind_named(trained.kind).fit(rows, None, recipe, ignore_epoch)
    return float(roc_auc(y, model.margins(_matrix(of.test, trained.signature)).astype(np.float64)))


def _matrix(frame: pl.DataFrame, signature: Signature) -> np.ndarray:
    return seen_by_model(encode(frame, signature), signature)
