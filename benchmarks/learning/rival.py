"""A tuned LightGBM as one would write it by hand: Optuna's TPE, native categories, early stopping.

It is given the rows that ours is given, for the same purposes: train and calibration rows to learn and to
tune on (their newest quarter decides), the calibration rows for a Platt scaling, cross-fitted in three parts.
Or, as many would have it, the train rows alone to learn and to tune on, and the calibration rows for nothing
but the scaling. Nothing of ours is used, the encoding included.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import optuna
import polars as pl
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from modelway.stats.ranking import FloatArray
from modelway.training.splits import Splits

IntArray = npt.NDArray[np.int64]
Learns = Literal["train+calibration", "train"]
VALIDATION_SHARE, PARTS = 0.25, 3
MAX_ROUNDS, PATIENCE = 1_000, 50
BASE = {"objective": "binary", "metric": "average_precision", "verbosity": -1, "bagging_freq": 1}


@dataclass(frozen=True)
class Encoding:
    """Numbers as they are; a category as its place among the values of the train rows."""

    numbers: list[str]
    categories: dict[str, list[str]]

    @classmethod
    def of(cls, train: pl.DataFrame, names: list[str]) -> "Encoding":
        """Learn the categories from the train rows."""
        texts = [name for name in names if train.schema[name] == pl.String]
        values = {name: train[name].drop_nulls().unique().sort().to_list() for name in texts}
        return cls([name for name in names if name not in texts], values)

    @property
    def columns(self) -> list[str]:
        """Columns of the matrix."""
        return [*self.numbers, *self.categories]

    def matrix(self, frame: pl.DataFrame) -> FloatArray:
        """Shape (n, F); NaN where a value is missing or new."""
        codes = [
            pl.col(name).replace_strict(values, range(len(values)), default=None, return_dtype=pl.Float64)
            for name, values in self.categories.items()
        ]
        return frame.select(*(pl.col(n).cast(pl.Float64) for n in self.numbers), *codes).to_numpy()


@dataclass(frozen=True)
class Rival:
    """A fitted one."""

    encoding: Encoding
    booster: lgb.Booster
    platt: LogisticRegression
    params: dict[str, Any]
    validation_pr_auc: float

    def probabilities(self, frame: pl.DataFrame) -> FloatArray:
        """Calibrated, shape (n,)."""
        margins = self.booster.predict(self.encoding.matrix(frame), raw_score=True)
        found: FloatArray = self.platt.predict_proba(np.asarray(margins)[:, None])[:, 1]
        return found


@dataclass(frozen=True)
class Question:
    """What is searched for, and how hard."""

    names: list[str]
    """Columns to learn from."""
    trials: Sequence[int]
    """A rival for each number: the best of that many trials, the first ones of a single search."""
    seed: int
    threads: int
    learns: Learns = "train+calibration"


def tuned(splits: Splits, asked: Question) -> list[Rival]:
    """Search, then fit the best setting again on all rows that teach, for as many rounds as it needed."""
    train, newest = splits.train.load().sort("event_time"), splits.calibration.load().sort("event_time")
    taught = train if asked.learns == "train" else pl.concat([train, newest])
    encoding = Encoding.of(taught, asked.names)
    base = {**BASE, "seed": asked.seed, "num_threads": asked.threads}
    search = _Search(encoding, encoding.matrix(taught), taught["label"].to_numpy(), base)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=asked.seed))
    study.enqueue_trial(_DEFAULTS)
    study.optimize(search, n_trials=max(asked.trials))
    best = [max(study.trials[:trials], key=lambda trial: trial.value) for trials in asked.trials]
    return [_fitted(search, trial, splits) for trial in best]


def _fitted(search: "_Search", trial: Any, splits: Splits) -> Rival:
    """On all rows that teach; the calibrator on rows that its margins do not know."""
    params, rounds = {**search.base, **trial.params}, trial.user_attrs["rounds"]
    booster = lgb.train(params, search.dataset(slice(None)), num_boost_round=rounds)
    calibration = splits.calibration.load().sort("event_time")
    if search.rows > splits.train.rows:
        margins = _cross_fitted(search, params, rounds, np.arange(splits.train.rows, search.rows))
    else:
        margins = np.asarray(booster.predict(search.encoding.matrix(calibration), raw_score=True))
    platt = _platt(margins, calibration["label"].to_numpy())
    return Rival(search.encoding, booster, platt, params, trial.value)


_DEFAULTS = {
    "learning_rate": 0.1,
    "num_leaves": 31,
    "min_child_samples": 20,
    "bagging_fraction": 1.0,
    "feature_fraction": 1.0,
    "lambda_l2": 1e-3,
    "cat_smooth": 10.0,
    "cat_l2": 10.0,
}
"""LightGBM's own, but for a weight of 0.001 instead of none: the first trial."""


class _Search:
    """What Optuna asks: how good is this setting on the newest rows that teach."""

    def __init__(self, encoding: Encoding, X: FloatArray, y: FloatArray, base: dict[str, Any]) -> None:
        self.encoding, self.base, self._X, self._y = encoding, base, X, y
        self._cut = round(len(y) * (1 - VALIDATION_SHARE))

    @property
    def rows(self) -> int:
        """That teach."""
        return len(self._y)

    def matrix(self, rows: IntArray) -> FloatArray:
        """Some of the rows."""
        return self._X[rows]

    def dataset(self, rows: slice | IntArray, reference: lgb.Dataset | None = None) -> lgb.Dataset:
        categories = list(range(len(self.encoding.numbers), len(self.encoding.columns)))
        X, y = self._X[rows], self._y[rows]
        return lgb.Dataset(X, y, categorical_feature=categories, reference=reference, free_raw_data=False)

    def __call__(self, trial: optuna.Trial) -> float:
        params = {
            **self.base,
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
            "num_leaves": trial.suggest_int("num_leaves", 4, 255, log=True),
            "min_child_samples": trial.suggest_int("min_child_samples", 5, 500, log=True),
            "bagging_fraction": trial.suggest_float("bagging_fraction", 0.5, 1.0),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.4, 1.0),
            "lambda_l2": trial.suggest_float("lambda_l2", 1e-3, 100.0, log=True),
            "cat_smooth": trial.suggest_float("cat_smooth", 1.0, 200.0, log=True),
            "cat_l2": trial.suggest_float("cat_l2", 1.0, 200.0, log=True),
        }
        fit = self.dataset(slice(0, self._cut))
        held = self.dataset(slice(self._cut, None), fit)
        stop = lgb.early_stopping(PATIENCE, verbose=False)
        booster = lgb.train(params, fit, num_boost_round=MAX_ROUNDS, valid_sets=[held], callbacks=[stop])
        trial.set_user_attr("rounds", booster.best_iteration)
        p = booster.predict(self._X[self._cut :], num_iteration=booster.best_iteration)
        return float(average_precision_score(self._y[self._cut :], p))


def _cross_fitted(search: _Search, params: dict[str, Any], rounds: int, newest: IntArray) -> FloatArray:
    """Log-odds of the newest rows, each by trees that have learnt from all rows but its part."""
    margins = np.empty(len(newest))
    part = np.random.default_rng(params["seed"]).permutation(len(newest)) % PARTS
    for number in range(PARTS):
        others = np.setdiff1d(np.arange(search.rows), newest[part == number])
        booster = lgb.train(params, search.dataset(others), num_boost_round=rounds)
        margins[part == number] = booster.predict(search.matrix(newest[part == number]), raw_score=True)
    return margins


def _platt(margins: FloatArray, y: FloatArray) -> LogisticRegression:
    return LogisticRegression(C=np.inf).fit(margins[:, None], y)
