"""Search, choose, fit again, calibrate, export: from splits to one trained model."""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from pydantic import AwareDatetime, Field

from modelway.bundle.canonical import canonical_json
from modelway.bundle.lineage import Replay
from modelway.bundle.signature import Signature
from modelway.contract import Frozen
from modelway.errors import ConfigError
from modelway.optimize.export import to_onnx
from modelway.stats.calibration import calibration_error, log_loss
from modelway.stats.ranking import pr_auc, roc_auc
from modelway.training.artifacts import Finalist, Trained, Trial, keep
from modelway.training.calibration import AnyCalibrator, Probabilities, threshold_from
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import FittedModel, Recipe, Value
from modelway.training.choice import Decision, choose
from modelway.training.draws import Plan
from modelway.training.encoding import Labels, encode, refuse_empty_columns, seen_by_model, signature_from
from modelway.training.environment import Environment, current
from modelway.training.figures import score_figures
from modelway.training.final import fit, rows_of
from modelway.training.folds import validation_folds
from modelway.training.pareto import finalists
from modelway.training.policy import CalibratorMethod, TrainingPolicy, Validation, training_policy
from modelway.training.record import Pages, record
from modelway.training.search import FoldRows, Task, search
from modelway.training.splits import Splits
from modelway.training.study import PrivateBook, SharedStudy
from modelway.training.tracking import Tracker

if TYPE_CHECKING:
    from modelway.usecase import UseCase

logger = logging.getLogger(__name__)

MIN_VALIDATION_ROWS = 10


class Request(Frozen):
    """What is trained from, and how hard it is searched."""

    snapshot_id: str
    as_of: AwareDatetime
    seed: int = 7
    """Decides all randomness: same rows, request and libraries, same bytes."""
    trials: int = Field(default=4, ge=1)
    """Settings to try for each kind."""
    replay: Replay | None = None
    """Which old rows the splits hold; goes into the lineage. None: all matured rows of the window."""
    study: str | None = None
    """Share the trials under this name, with other processes and with a later start; None: keep them here."""


def tune(  # noqa: PLR0913 - what is trained from, and the three places it leaves things in
    use_case: "UseCase",
    splits: Splits,
    request: Request,
    *,
    tracker: Tracker,
    folder: str,
    studies: Path | None = None,
) -> Trained:
    """Train every candidate of the use case and hand on the best one, calibrated and exported.

    The test rows are not looked at. All others teach, the train and the calibration rows: their newest
    quarter decides between the trials, unless the use case's policy says otherwise; the winner is fitted
    again on all of them, for as many rounds as it needed, and calibrated by a cross-fit on the calibration
    rows.

    Args:
        use_case: Features, candidates, costs; its attribute `training` where it has one.
        splits: From `split_by_time`.
        request: Origin of the rows, seed, effort.
        tracker: Where runs are recorded: one parent run, one nested run for each trial.
        folder: Path or URL for the model's files, content-addressed.
        studies: Folder of shared studies; needed where the request names one.

    Raises:
        EmptyWindowError: Train rows too few, or of one class only.
        DegenerateColumnError: A feature without any value among the train rows.
        ConfigError: No candidate, an unknown kind or hyper-parameter; or a study begun for another question.
        GateError: No trial gave finite scores or keeps the limits, or the final model gives no finite scores.
    """
    _require_candidates(use_case)
    policy, train = training_policy(use_case), splits.train.load()
    signature = signature_from(use_case, train, threshold_from(use_case.costs))
    refuse_empty_columns(seen_by_model(encode(train, signature), signature), signature.columns)
    learnt = pl.concat([train, splits.calibration.load()])
    task = _task(learnt, signature, policy.validation, request.seed)
    environment = current()
    tags = _tags(use_case.name, request, environment)
    study = _study(use_case, policy, request, task, environment, studies)
    with _parent_run(tracker, study, use_case.name, request, tags) as run_id:
        tried = search(
            _plans(use_case, policy, request, study), task, Pages(tracker, use_case.name, run_id, tags)
        )
        y = np.concatenate([fold.validation.y for fold in task.folds])
        sizes = [len(fold.validation.y) for fold in task.folds]
        decision = choose(tried, y, request.seed, folds=sizes, preference=policy.preference)
        seen = finalists(tried, decision.best, task.folds[-1].validation.X[:1])
        final = _fit_final(decision.best, signature, splits, request.seed, policy.calibrators)
        facts = _Facts(use_case.name, request, run_id, tuple(t.trial for t in tried), environment, seen)
        trained = _trained(facts, decision, final, splits, folder)
        record(trained, final.figures, tracker)
    logger.info("%s", trained.reason)
    return trained


@dataclass(frozen=True)
class _Final:
    signature: Signature
    params: Mapping[str, Value]
    model: FittedModel
    calibrator: AnyCalibrator
    calibrator_reason: str
    metrics: Mapping[str, float]
    figures: Mapping[str, bytes]


@dataclass(frozen=True)
class _Facts:
    use_case: str
    request: Request
    run_id: str
    trials: tuple[Trial, ...]
    environment: Environment
    finalists: tuple[Finalist, ...]


def _require_candidates(use_case: "UseCase") -> None:
    if not use_case.candidates:
        raise ConfigError(
            f"use case {use_case.name} names no candidates",
            expected="at least one kind of model to try",
            remedy="add a Candidate to `candidates`",
        )


def _task(learnt: pl.DataFrame, signature: Signature, how: Validation, seed: int) -> Task:
    folds = validation_folds(learnt, how, MIN_VALIDATION_ROWS)
    rows = tuple(FoldRows(rows_of(f.train, signature), rows_of(f.validation, signature)) for f in folds)
    return Task(rows, signature.inputs, seed, signature.derived)


def _study(  # noqa: PLR0913, PLR0917 - all that decides the trials
    use_case: "UseCase",
    policy: TrainingPolicy,
    request: Request,
    task: Task,
    environment: Environment,
    studies: Path | None,
) -> SharedStudy | None:
    if request.study is None:
        return None
    if studies is None:
        raise ConfigError(
            f"study {request.study} has no folder", expected="`studies`, a folder that outlives this process"
        )
    asked = [canonical_json(c) for c in use_case.candidates] + [
        canonical_json(policy.search),
        repr(
            (request.trials, request.seed, task.inputs, sorted(environment.libraries.items()), *task.derived)
        ).encode(),
    ]
    identity = hashlib.sha256(b"|".join(asked))
    for rows in (rows for fold in task.folds for rows in (fold.train, fold.validation)):
        identity.update(rows.X.tobytes() + rows.y.tobytes())
    return SharedStudy.join(studies, request.study, identity.hexdigest())


def _plans(
    use_case: "UseCase", policy: TrainingPolicy, request: Request, study: SharedStudy | None
) -> list[Plan]:
    return [
        Plan(
            candidate,
            request.trials,
            policy.search,
            PrivateBook() if study is None else study.book(f"{number}-{candidate.kind}"),
        )
        for number, candidate in enumerate(use_case.candidates)
    ]


@contextmanager
def _parent_run(
    tracker: Tracker, study: SharedStudy | None, name: str, request: Request, tags: Mapping[str, str]
) -> Iterator[str]:
    title = f"train as of {request.as_of:%Y-%m-%d}"
    if study is None:
        with tracker.run(name, title, tags=tags) as run_id:
            yield run_id
    else:
        shared = study.parent_run(lambda: tracker.begin(name, title, tags=tags))
        with tracker.ended(shared):
            yield shared


def _fit_final(
    best: Trial, signature: Signature, splits: Splits, seed: int, methods: tuple[CalibratorMethod, ...]
) -> _Final:
    params = {**best.params, kind_named(best.kind).rounds_param: best.rounds}
    made = fit(best.kind, Recipe(signature.columns, params, seed), signature, splits, methods)
    y, p = made.calibration_y, made.calibrator.probabilities(made.margins)
    figures = score_figures(y.astype(np.float64), p, "calibration rows")
    return _Final(signature, params, made.model, made.calibrator, made.choice.reason, _metrics(y, p), figures)


def _metrics(y: Labels, p: Probabilities) -> dict[str, float]:
    return {
        "pr_auc": float(pr_auc(y, p)),
        "roc_auc": float(roc_auc(y, p)),
        "log_loss": float(log_loss(y, p)),
        "ece": float(calibration_error(y, p)),
        "base_rate": float(np.mean(y)),
    }


def _trained(facts: _Facts, decision: Decision, final: _Final, splits: Splits, folder: str) -> Trained:
    return Trained(
        use_case=facts.use_case,
        kind=decision.best.kind,
        params=final.params,
        seed=facts.request.seed,
        snapshot_id=facts.request.snapshot_id,
        as_of=facts.request.as_of,
        replay=facts.request.replay,
        signature=final.signature,
        calibrator=final.calibrator,
        calibrator_reason=final.calibrator_reason,
        onnx=keep(_graph(final), folder, ".onnx"),
        native=keep(final.model.dump(), folder, f".{decision.best.kind}"),
        train=splits.train,
        calibration_rows=splits.calibration.rows,
        metrics=final.metrics,
        trials=facts.trials,
        finalists=facts.finalists,
        reason=decision.reason,
        run_id=facts.run_id,
        environment=facts.environment,
    )


def _graph(final: _Final) -> bytes:
    return to_onnx(final.model, final.calibrator, final.signature.inputs, final.signature.derived)


def _tags(use_case: str, request: Request, environment: Environment) -> dict[str, str]:
    return {
        "modelway.use_case": use_case,
        "modelway.snapshot_id": request.snapshot_id,
        "modelway.as_of": request.as_of.isoformat(),
        "modelway.seed": str(request.seed),
        **environment.tags(),
    }
