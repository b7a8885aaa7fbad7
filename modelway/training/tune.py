"""Search, choose, fit on all train rows, calibrate, export: from splits to one trained model."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from pydantic import AwareDatetime, Field

from modelway.bundle.signature import Signature
from modelway.contract import Frozen
from modelway.errors import ConfigError, GateError
from modelway.optimize.export import to_onnx
from modelway.stats.calibration import calibration_error, log_loss
from modelway.stats.ranking import pr_auc, roc_auc
from modelway.training.artifacts import Trained, Trial, keep
from modelway.training.calibration import Calibrator, fit_calibrator, threshold_from
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import FittedModel, Margins, Recipe, Rows, Value, ignore_epoch
from modelway.training.choice import Decision, Tried, choose
from modelway.training.encoding import encode, known, labels, refuse_empty_columns, signature_from
from modelway.training.environment import Environment, current
from modelway.training.figures import score_figures
from modelway.training.record import Pages, record
from modelway.training.search import Task, search
from modelway.training.splits import Splits, cut, require_both_classes
from modelway.training.tracking import Tracker

if TYPE_CHECKING:
    from modelway.usecase import UseCase

logger = logging.getLogger(__name__)

VALIDATION_SHARE = 0.25
"""Newest share of the train rows that trials are chosen by."""
MIN_VALIDATION_ROWS = 10


class Request(Frozen):
    """What is trained from, and how hard it is searched."""

    snapshot_id: str
    as_of: AwareDatetime
    seed: int = 7
    """Decides all randomness: same rows, request and libraries, same bytes."""
    trials: int = Field(default=4, ge=1)
    """Settings to try for each kind."""


def tune(use_case: "UseCase", splits: Splits, request: Request, *, tracker: Tracker, folder: str) -> Trained:
    """Train every candidate of the use case and hand on the best one, calibrated and exported.

    The test rows are not looked at. The newest quarter of the train rows decides between the trials; the
    winner is fitted again on all train rows, for as many rounds as it needed; calibration has rows of
    its own.

    Args:
        use_case: Features, candidates, costs.
        splits: From `split_by_time`.
        request: Origin of the rows, seed, effort.
        tracker: Where runs are recorded: one parent run, one nested run for each trial.
        folder: Path or URL for the model's files, content-addressed.

    Raises:
        EmptyWindowError: Train rows too few, or of one class only.
        DegenerateColumnError: A feature without any value among the train rows.
        ConfigError: No candidate, an unknown kind or hyper-parameter.
        GateError: No trial gave finite scores, or the final model does not.
    """
    _require_candidates(use_case)
    train = splits.train.load()
    signature = signature_from(use_case, train, threshold_from(use_case.costs))
    refuse_empty_columns(encode(train, signature), signature.inputs)
    task = _task(train, signature, request.seed)
    environment = current()
    tags = _tags(use_case.name, request, environment)
    with tracker.run(use_case.name, f"train as of {request.as_of:%Y-%m-%d}", tags=tags) as run_id:
        pages = Pages(tracker, use_case.name, run_id, tags)
        tried = _search_all(use_case, task, pages, request.trials)
        decision = choose(tried, task.validation.y, request.seed)
        final = _fit_final(decision.best, signature, splits, request.seed)
        facts = _Facts(use_case.name, request, run_id, tuple(t.trial for t in tried), environment)
        trained = _trained(facts, decision, final, splits, folder)
        record(trained, final.figures, tracker)
    logger.info("%s", trained.reason)
    return trained


@dataclass(frozen=True)
class _Final:
    signature: Signature
    params: Mapping[str, Value]
    model: FittedModel
    calibrator: Calibrator
    metrics: Mapping[str, float]
    figures: Mapping[str, bytes]


@dataclass(frozen=True)
class _Facts:
    use_case: str
    request: Request
    run_id: str
    trials: tuple[Trial, ...]
    environment: Environment


def _require_candidates(use_case: "UseCase") -> None:
    if not use_case.candidates:
        raise ConfigError(
            f"use case {use_case.name} names no candidates",
            expected="at least one kind of model to try",
            remedy="add a Candidate to `candidates`",
        )


def _task(train: pl.DataFrame, signature: Signature, seed: int) -> Task:
    ordered = train.sort("event_time", maintain_order=True)
    older, newest = cut(ordered, VALIDATION_SHARE, MIN_VALIDATION_ROWS)
    require_both_classes("older train", older)
    require_both_classes("validation", newest)
    return Task(_rows(older, signature), _rows(newest, signature), signature.inputs, seed)


def _rows(frame: pl.DataFrame, signature: Signature) -> Rows:
    return Rows(X=known(encode(frame, signature), signature.inputs), y=labels(frame))


def _search_all(use_case: "UseCase", task: Task, pages: Pages, trials: int) -> tuple[Tried, ...]:
    found = [search(candidate, task, pages, trials) for candidate in use_case.candidates]
    return tuple(tried for of_one_kind in found for tried in of_one_kind)


def _fit_final(best: Trial, signature: Signature, splits: Splits, seed: int) -> _Final:
    params = {**best.params, kind_named(best.kind).rounds_param: best.rounds}
    model, calibrator = fit(best.kind, Recipe(signature.inputs, params, seed), signature, splits)
    calibration = _rows(splits.calibration.load(), signature)
    p = calibrator.probabilities(model.margins(calibration.X))
    figures = score_figures(calibration.y.astype(np.float64), p, "calibration rows")
    return _Final(signature, params, model, calibrator, _metrics(calibration, p), figures)


def fit(kind: str, recipe: Recipe, signature: Signature, splits: Splits) -> tuple[FittedModel, Calibrator]:
    """Fit one recipe on all train rows, and its calibrator on the calibration rows.

    Args:
        kind: `hgb`, `mlp`, …
        recipe: Every hyper-parameter, the number of rounds among them, and the seed.
        signature: How the rows become a matrix.
        splits: From `split_by_time`; the test rows are not looked at.

    Raises:
        GateError: The model gives no finite scores.
        ConfigError: An unknown kind or hyper-parameter.
    """
    train, calibration = _rows(splits.train.load(), signature), _rows(splits.calibration.load(), signature)
    model = kind_named(kind).fit(train, None, recipe, ignore_epoch)
    margins = _finite(model.margins(calibration.X), kind)
    return model, fit_calibrator(margins, calibration.y)


def _finite(margins: Margins, kind: str) -> Margins:
    if not np.isfinite(margins).all():
        raise GateError(
            f"the {kind} fitted on all train rows gives no finite scores",
            expected="log-odds for every calibration row",
            remedy="lower the learning rates in the use case's candidates",
        )
    return margins


def _metrics(rows: Rows, p: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> dict[str, float]:
    return {
        "pr_auc": float(pr_auc(rows.y, p)),
        "roc_auc": float(roc_auc(rows.y, p)),
        "log_loss": float(log_loss(rows.y, p)),
        "ece": float(calibration_error(rows.y, p)),
        "base_rate": float(np.mean(rows.y)),
    }


def _trained(facts: _Facts, decision: Decision, final: _Final, splits: Splits, folder: str) -> Trained:
    return Trained(
        use_case=facts.use_case,
        kind=decision.best.kind,
        params=final.params,
        seed=facts.request.seed,
        snapshot_id=facts.request.snapshot_id,
        as_of=facts.request.as_of,
        signature=final.signature,
        calibrator=final.calibrator,
        onnx=keep(to_onnx(final.model, final.calibrator, final.signature.inputs), folder, ".onnx"),
        native=keep(final.model.dump(), folder, f".{decision.best.kind}"),
        train=splits.train,
        calibration_rows=splits.calibration.rows,
        metrics=final.metrics,
        trials=facts.trials,
        reason=decision.reason,
        run_id=facts.run_id,
        environment=facts.environment,
    )


def _tags(use_case: str, request: Request, environment: Environment) -> dict[str, str]:
    return {
        "modelway.use_case": use_case,
        "modelway.snapshot_id": request.snapshot_id,
        "modelway.as_of": request.as_of.isoformat(),
        "modelway.seed": str(request.seed),
        **environment.tags(),
    }
