"""Measure a trained model on the test rows, beside the champion on the very same rows."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from modelway.bundle.bundle import Bundle
from modelway.bundle.signature import Signature
from modelway.evaluation.evaluate import evaluate
from modelway.evaluation.record import Evaluation
from modelway.optimize.scoring import Graph
from modelway.training.artifacts import Trained
from modelway.training.encoding import Floats, encode

if TYPE_CHECKING:
    from modelway.usecase import UseCase

RESAMPLES = 300


def evaluate_on(
    use_case: "UseCase",
    trained: Trained,
    test: pl.DataFrame,
    champion: Bundle | None,
    openings: int | None = None,
) -> Evaluation:
    """What the held-out rows say about the exported graph, the one that will be served.

    Args:
        use_case: Costs, slices, gates' slice size.
        trained: The candidate.
        test: Rows newer than any the candidate has seen, with `label` and every feature.
        champion: The model in production, None when there is none.
        openings: How many models were measured on these rows, this one too; None where nobody counts.

    Raises:
        ContractError: A feature's column is missing, also when only the champion needs it.
    """
    return evaluate(
        y=test["label"].to_numpy(),
        scores=_scores(trained.onnx.read(), trained.signature, test),
        champion_scores=None
        if champion is None
        else _scores(champion.model.read_bytes(), champion.signature, test),
        slices={each.name: _groups(test[each.column]) for each in use_case.slices},
        times=test["event_time"].dt.replace_time_zone(None).to_numpy(),
        threshold=trained.signature.threshold,
        costs=use_case.costs,
        seed=trained.seed,
        min_slice_rows=use_case.gates.min_slice_rows,
        resamples=RESAMPLES,
        test_openings=openings,
    )


def _scores(onnx: bytes, signature: Signature, rows: pl.DataFrame) -> Floats:
    return Graph(onnx).probabilities(encode(rows, signature))


def _groups(values: pl.Series) -> np.ndarray:
    """Text per row; whole numbers without their decimals, None for missing."""
    if values.dtype.is_float():
        values = values.cast(pl.Int64, strict=False)
    return values.cast(pl.String).to_numpy()
