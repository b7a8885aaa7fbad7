"""A tuned LightGBM as one would write it by hand: Optuna's TPE, native categories, early stopping.

It is given the rows that ours is given: the train rows to learn and to tune on (their newest quarter
decides), the calibration rows for a Platt scaling. Nothing of ours is used, the encoding included.
"""

from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import optuna
import polars as pl
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from modelway.stats.ranking import FloatArray
from modelway.training.splits import Splits

VALIDATION_SHARE = 0.25
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


def tuned(splits: Splits, names: list[str], *, trials: int, seed: int, threads: int) -> Rival:
    """Search, then fit the best setting again on all train rows for as many rounds as it needed."""
    train = splits.train.load().sort("event_time")
    encoding = Encoding.of(train, names)
    X, y = encoding.matrix(train), train["label"].to_numpy()
    base = {**BASE, "seed": seed, "num_threads": threads}
    search = _Search(encoding, X, y, base)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial(_DEFAULTS)
    study.optimize(search, n_trials=trials)
    params, rounds = {**base, **study.best_params}, study.best_trial.user_attrs["rounds"]
    booster = lgb.train(params, search.dataset(slice(None)), num_boost_round=rounds)
    return Rival(encoding, booster, _platt(booster, encoding, splits), params, study.best_value)


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
    """What Optuna asks: how good is this setting on the newest train rows."""

    def __init__(self, encoding: Encoding, X: FloatArray, y: FloatArray, base: dict[str, Any]) -> None:
        self._encoding, self._X, self._y, self._base = encoding, X, y, base
        self._cut = round(len(y) * (1 - VALIDATION_SHARE))

    def dataset(self, rows: slice, reference: lgb.Dataset | None = None) -> lgb.Dataset:
        categories = list(range(len(self._encoding.numbers), len(self._encoding.columns)))
        X, y = self._X[rows], self._y[rows]
        return lgb.Dataset(X, y, categorical_feature=categories, reference=reference, free_raw_data=False)

    def __call__(self, trial: optuna.Trial) -> float:
        params = {
            **self._base,
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


def _platt(booster: lgb.Booster, encoding: Encoding, splits: Splits) -> LogisticRegression:
    rows = splits.calibration.load()
    margins = np.asarray(booster.predict(encoding.matrix(rows), raw_score=True))[:, None]
    return LogisticRegression(C=np.inf).fit(margins, rows["label"].to_numpy())
