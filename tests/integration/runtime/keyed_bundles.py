"""A bundle that is asked by key, of any use case: its own columns before a graph that tells them apart."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modelway.bundle.bundle import Bundle, write_bundle
from modelway.bundle.canonical import canonical_json
from modelway.bundle.lineage import Lineage
from modelway.bundle.online import ONLINE_FILE
from modelway.bundle.policy import POLICY_FILE
from modelway.bundle.signature import Input, Signature
from modelway.bundle.signing import load_or_create_key
from modelway.features.by_key import described
from modelway.optimize.export import to_onnx
from modelway.optimize.graph import KNOWN, MARGIN, GraphPart, constant, node
from modelway.training.calibration import Calibrator
from modelway.training.encoding import encode, seen_by_model
from modelway.usecase import serving_policy


class Mixed:
    """A model of every column, derived ones too: each moves the answer, also by being missing."""

    def __init__(self, signature: Signature) -> None:
        """Weights of both signs that tell the columns apart."""
        width = len(signature.columns)
        self.weights = np.array([(-1) ** at * (at + 1) / 40 for at in range(width)], dtype=np.float32)

    def graph(self) -> GraphPart:
        """From what the model reads to its margin."""
        nodes = (
            node("IsNaN", [KNOWN], "missing"),
            node("Where", ["missing", "half", KNOWN], "filled"),
            node("Softsign", ["filled"], "squeezed"),
            node("MatMul", ["squeezed", "weights"], MARGIN),
        )
        return GraphPart(nodes, (constant("half", 0.5), constant("weights", self.weights)))

    def probabilities(self, frame: pl.DataFrame, signature: Signature) -> Any:
        """The same by the road that training takes: named columns, encoded, derived in numpy."""
        X = seen_by_model(encode(frame, signature), signature)
        filled = np.where(np.isnan(X), 0.5, X.astype(np.float64))
        return 1 / (1 + np.exp(-(filled / (1 + np.abs(filled))) @ self.weights.astype(np.float64)))


def bundle_of(use_case: Any, folder: Path, keys: Path, history: pl.LazyFrame, *, as_of: datetime) -> Bundle:
    online = described(use_case)
    assert online is not None
    inputs = tuple(column(feature.name, feature.kind, history) for feature in use_case.features.all)
    signature = signature_of(use_case, inputs)
    return write_bundle(
        folder / "bundles",
        onnx=to_onnx(Mixed(signature), Calibrator(slope=1, intercept=0), inputs, signature.derived),
        signature=signature,
        reference=b"",
        slo=use_case.slo,
        card="",
        lineage=Lineage(use_case=use_case.name, snapshot_id="0" * 64, as_of=as_of, kind="mixed", seed=1),
        key=load_or_create_key(keys),
        extras={POLICY_FILE: canonical_json(serving_policy(use_case)), ONLINE_FILE: canonical_json(online)},
    )


def signature_of(use_case: Any, inputs: tuple[Input, ...]) -> Signature:
    return Signature(
        model_name=use_case.name,
        key=use_case.contract.key,
        label="lost",
        inputs=inputs,
        threshold=0.5,
        derived=use_case.features.derived,
    )


def column(name: str, kind: Any, history: pl.LazyFrame) -> Input:
    if kind == "numeric":
        return Input(name=name, kind=kind)
    values = history.select(pl.col(name).drop_nulls().unique().sort()).collect()[name]
    return Input(name=name, kind=kind, vocabulary=tuple(values.head(30)))  # the rest is unknown to the model
