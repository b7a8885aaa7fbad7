"""Whether a variant may stand beside its origin: every gate anew, and its answers against the origin's.

What concerns the rows and the training is taken over from the origin's verdict, which must be a pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from modelway.bundle.bundle import MODEL_FILE, Bundle
from modelway.bundle.signature import Signature
from modelway.contract import Outcome, Reason, Verdict
from modelway.errors import ConfigError, GateError, TransitionError
from modelway.evaluation.gates import gates
from modelway.evaluation.held_out import measure
from modelway.evaluation.record import Evaluation
from modelway.optimize.same import same_answers
from modelway.optimize.scoring import Graph
from modelway.optimize.variants import Answering, Made
from modelway.registry.model_version import ModelVersion
from modelway.registry.variant_facts import COMPARED
from modelway.stats.ranking import roc_auc
from modelway.training.encoding import encode, labels
from modelway.training.splits import Splits

if TYPE_CHECKING:
    from modelway.registry.registry import Registry
    from modelway.usecase import UseCase


@dataclass(frozen=True)
class Origin:
    """The version that a variant is made from, with its bundle and what was found of it."""

    version: ModelVersion
    bundle: Bundle
    evaluation: Evaluation

    @classmethod
    def of(cls, registry: "Registry", name: str, reference: int | str | None) -> "Origin":
        """That version.

        Raises:
            NotFoundError: There is no such version, or its bundle was pruned.
        """
        version = registry.get(name, reference)
        found = registry.evaluation(name, version.version)
        return cls(version, registry.bundle(name, version.version), found)


@dataclass(frozen=True)
class _Graph:
    """A graph in the form in which the evaluation takes it."""

    onnx: "_Bytes"
    signature: Signature
    seed: int


@dataclass(frozen=True)
class _Bytes:
    content: bytes

    def read(self) -> bytes:
        """All of them."""
        return self.content


@dataclass(frozen=True)
class Measured:
    """A variant with everything that was found of it."""

    made: Made
    evaluation: Evaluation
    verdict: Verdict


def measured(  # noqa: PLR0913, PLR0917 - what was made, and everything it is held against
    use_case: "UseCase",
    origin: Origin,
    made: Made,
    splits: Splits,
    limit: float,
    champion: Bundle | None,
    openings: int | None,
) -> Measured:
    """Every gate that looks at answers, and the distance to the origin, on the origin's test rows.

    Args:
        use_case: Its gates.
        origin: What it was made from.
        made: The variant.
        splits: From `same_splits`.
        limit: Largest allowed |probability difference|.
        champion: In production; None: nothing is.
        openings: How many models were measured on these rows; None where nobody counts.
    """
    signature, lineage = origin.bundle.signature, origin.bundle.lineage
    graph = _Graph(_Bytes(made.graph), signature, lineage.seed)
    evaluation = measure(use_case, graph, splits, champion, openings)
    evaluation = evaluation.model_copy(update={"search": origin.evaluation.search})
    fresh = gates(evaluation, use_case.gates)
    closeness = Verdict.of(_closeness(origin, made, splits.test.load(), limit, use_case))
    inherited = _inherited(origin.version.verdict, fresh & closeness)
    return Measured(made, evaluation, inherited & closeness & fresh)


def _closeness(
    origin: Origin, made: Made, test: pl.DataFrame, limit: float, use_case: "UseCase"
) -> Iterator[Reason]:
    """Answers, decisions and ranking beside the origin's, of everything that may answer a request."""
    X, y = encode(test, origin.bundle.signature), labels(test)
    for name, held in made.held.items():
        yield from (_named(reason, f"{name}.reference") for reason in held.reasons)
    for name, answering in made.answering.items():
        most = slice(answering.most_rows)
        yield from _like_origin(origin.bundle, name, answering, X[most], limit)
        yield _ranks(origin.bundle, name, answering, (X[most], y[most]), use_case.gates.max_roc_auc_loss)


def _like_origin(
    origin: Bundle, name: str, answering: Answering, X: npt.NDArray[np.float32], limit: float
) -> Iterator[Reason]:
    content, threshold = origin.read(MODEL_FILE), origin.signature.threshold
    same = same_answers(content, answering.score, X, limit=limit, threshold=threshold)
    yield from (_named(reason, name) for reason in same.reasons)


def _ranks(origin: Bundle, name: str, answering: Answering, rows: tuple[Any, Any], max_loss: float) -> Reason:
    """No benefit of chance: both are functions of the same rows, and one was made from the other."""
    X, y = rows
    before = float(roc_auc(y, Graph(origin.read(MODEL_FILE)).probabilities(X)))
    change = float(roc_auc(y, np.asarray(answering.score(X)).reshape(-1))) - before
    defined = bool(np.isfinite(change))
    kept = Outcome.PASS if change >= -max_loss else Outcome.FAIL
    return Reason(
        metric=f"{COMPARED}{name}.roc_auc",
        outcome=kept if defined else Outcome.INCONCLUSIVE,
        message=f"ROC-AUC minus the origin's {change:+.4f} on {len(y):,} test rows, at least -{max_loss:g}",
        found=change if defined else None,
        limit=-max_loss,
        samples=len(y),
    )


def _named(reason: Reason, of: str) -> Reason:
    return reason.model_copy(update={"metric": f"{COMPARED}{of}.{reason.metric}"})


def _inherited(verdict: Verdict, anew: Verdict) -> Verdict:
    """What was found of the rows and the training: all that was not looked at anew."""
    again = {reason.metric for reason in anew.reasons}
    kept = tuple(reason for reason in verdict.reasons if reason.metric not in again)
    return Verdict.of(kept) if kept else Verdict(outcome=Outcome.PASS)


def check_origin(version: ModelVersion) -> None:
    """Refuse a version that no variant may be made from.

    Raises:
        GateError: It did not pass its gates.
        TransitionError: It was rejected.
        ConfigError: It is a variant itself.
    """
    if version.variant is not None:
        raise ConfigError(
            f"{version.reference} is {version.variant.words} already",
            expected="a version that a training made",
            remedy=f"make the variant from {version.name}@{version.variant.origin_version}",
        )
    if not version.verdict.passed:
        raise GateError(
            f"{version.reference} did not pass its gates: {version.verdict.summary()}",
            expected="an origin that kept every limit",
            remedy=f"`modelway evaluate show {version.reference}` shows every limit",
        )
    if version.rejected_by is not None:
        raise TransitionError(
            f"{version.reference} was rejected by {version.rejected_by}",
            expected="an origin that nobody keeps out of production",
            remedy="make the variant from another version",
        )
