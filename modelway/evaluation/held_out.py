"""Measure a trained model on the test rows, beside the champion on the very same rows."""

from typing import TYPE_CHECKING, Protocol

import numpy as np
import polars as pl

from modelway.bundle.bundle import Bundle
from modelway.bundle.signature import Signature
from modelway.errors import ContractError
from modelway.evaluation.errors_report import error_report
from modelway.evaluation.evaluate import evaluate
from modelway.evaluation.explanation import explanation
from modelway.evaluation.findings import Search
from modelway.evaluation.record import Evaluation
from modelway.evaluation.robustness import robustness
from modelway.evaluation.scored import ScoredRows
from modelway.evaluation.subject import Subject
from modelway.evaluation.unfamiliar import unfamiliarity
from modelway.optimize.scoring import Graph
from modelway.stats.bootstrap import Sampling
from modelway.training.artifacts import Trained
from modelway.training.encoding import Floats, encode
from modelway.training.splits import Splits

if TYPE_CHECKING:
    from modelway.usecase import UseCase

RESAMPLES = 300
REFERENCE_ROWS = 5_000
"""Newest rows that taught the model, which the closer look compares with."""
_NEWEST_SHARE = 0.25


class Content(Protocol):
    """Bytes that lie somewhere."""

    def read(self) -> bytes:
        """All of them."""
        ...


class Candidate(Protocol):
    """A graph to measure."""

    @property
    def onnx(self) -> Content:
        """The graph that will be served."""
        ...

    @property
    def signature(self) -> Signature:
        """What its columns mean."""
        ...

    @property
    def seed(self) -> int:
        """Of the resampling."""
        ...


def evaluate_on(
    use_case: "UseCase",
    trained: Trained,
    splits: Splits,
    champion: Bundle | None,
    openings: int | None = None,
) -> Evaluation:
    """What the held-out rows say about the exported graph, the one that will be served.

    Args:
        use_case: Costs, slices, gates' slice size.
        trained: The candidate.
        splits: The rows it was made from, and the test rows: newer than any it has seen, with `label`, the
            key and every feature.
        champion: The model in production, None when there is none.
        openings: How many models were measured on these rows, this one too; None where nobody counts.

    Raises:
        ContractError: A feature's column is missing, also when only the champion needs it.
    """
    found = measure(use_case, trained, splits, champion, openings)
    return found.model_copy(update={"search": search_of(trained)})


def measure(
    use_case: "UseCase",
    candidate: Candidate,
    splits: Splits,
    champion: Bundle | None,
    openings: int | None = None,
) -> Evaluation:
    """`evaluate_on` for any graph, a variant of a registered one too; nothing is said of a search.

    Raises:
        ContractError: A feature's column is missing, also when only the champion needs it.
    """
    test = splits.test.load()
    subject = subject_of(use_case, candidate, splits)
    measured = evaluate(
        y=subject.rows.y,
        scores=subject.rows.scores,
        champion_scores=None
        if champion is None
        else _scores(champion.model.read_bytes(), champion.signature, test),
        slices={each.name: _groups(test[each.column]) for each in use_case.slices},
        times=test["event_time"].dt.replace_time_zone(None).to_numpy(),
        threshold=candidate.signature.threshold,
        costs=use_case.costs,
        seed=candidate.seed,
        min_slice_rows=use_case.gates.min_slice_rows,
        resamples=RESAMPLES,
        test_openings=openings,
    )
    return measured.model_copy(
        update={
            "robustness": robustness(subject),
            "explanation": explanation(subject),
            "errors": error_report(subject),
            "unfamiliarity": unfamiliarity(subject),
        }
    )


def subject_of(use_case: "UseCase", candidate: Candidate, splits: Splits) -> Subject:
    """The graph with the test rows and the newest rows it has learnt from: calibration rows, then train rows.

    Raises:
        ContractError: A column is missing.
    """
    key, signature, test = use_case.contract.key, candidate.signature, splits.test.load()
    if key not in test.columns:
        raise ContractError(f"the test rows have no column {key}", expected="the key of every row")
    X, answer = encode(test, signature), Graph(candidate.onnx.read()).probabilities
    times = test["event_time"]
    return Subject(
        answer=answer,
        inputs=signature.inputs,
        X=X,
        rows=ScoredRows.of(test["label"].to_numpy(), answer(X), signature.threshold),
        keys=tuple(test[key].cast(pl.String).to_list()),
        newest=(times > times.quantile(1 - _NEWEST_SHARE)).to_numpy(),
        reference=encode(_newest_learnt(splits), signature),
        costs=use_case.costs,
        sampling=Sampling(seed=candidate.seed, resamples=RESAMPLES),
    )


def _newest_learnt(splits: Splits) -> pl.DataFrame:
    """Both parts are sorted by time, and every calibration row is newer than every train row."""
    return pl.concat([splits.train.load(), splits.calibration.load()]).tail(REFERENCE_ROWS)


def search_of(trained: Trained) -> Search:
    """What the search left of its candidates."""
    return Search(
        trials=len(trained.trials),
        finalists=trained.finalists,
        reason=trained.reason,
        calibrator=trained.calibrator.method,
        calibrator_reason=trained.calibrator_reason,
    )


def _scores(onnx: bytes, signature: Signature, rows: pl.DataFrame) -> Floats:
    return Graph(onnx).probabilities(encode(rows, signature))


def _groups(values: pl.Series) -> np.ndarray:
    """Text per row; whole numbers without their decimals, None for missing."""
    if values.dtype.is_float():
        values = values.cast(pl.Int64, strict=False)
    return values.cast(pl.String).to_numpy()
