"""A bundle that is asked by key, of any use case: its own columns before a graph that tells them apart."""

from datetime import datetime
from pathlib import Path
from typing import Any

import onnx.parser
import polars as pl

from modelway.bundle.bundle import Bundle, write_bundle
from modelway.bundle.canonical import canonical_json
from modelway.bundle.lineage import Lineage
from modelway.bundle.online import ONLINE_FILE
from modelway.bundle.policy import POLICY_FILE
from modelway.bundle.signature import Input, Signature
from modelway.bundle.signing import load_or_create_key
from modelway.features.by_key import described
from modelway.usecase import serving_policy

GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
mixed (float[N, {width}] features) => (float[N] probability)
<float half = {{0.5}}, float[{width}] weights = {{{weights}}}> {{
    missing = IsNaN(features)
    filled = Where(missing, half, features)
    squeezed = Softsign(filled)
    score = MatMul(squeezed, weights)
    probability = Sigmoid(score)
}}
"""
"""Each column moves the answer, also by being missing."""


def bundle_of(use_case: Any, folder: Path, keys: Path, history: pl.LazyFrame, *, as_of: datetime) -> Bundle:
    online, contract = described(use_case), use_case.contract
    assert online is not None
    inputs = tuple(column(feature.name, feature.kind, history) for feature in use_case.features.all)
    weights = ", ".join(f"{(-1) ** at * (at + 1) / 40}" for at in range(len(inputs)))
    name = use_case.name
    return write_bundle(
        folder / "bundles",
        onnx=onnx.parser.parse_model(GRAPH.format(width=len(inputs), weights=weights)).SerializeToString(),
        signature=Signature(model_name=name, key=contract.key, label="lost", inputs=inputs, threshold=0.5),
        reference=b"",
        slo=use_case.slo,
        card="",
        lineage=Lineage(use_case=name, snapshot_id="0" * 64, as_of=as_of, kind="mixed", seed=1),
        key=load_or_create_key(keys),
        extras={POLICY_FILE: canonical_json(serving_policy(use_case)), ONLINE_FILE: canonical_json(online)},
    )


def column(name: str, kind: Any, history: pl.LazyFrame) -> Input:
    if kind == "numeric":
        return Input(name=name, kind=kind)
    values = history.select(pl.col(name).drop_nulls().unique().sort()).collect()[name]
    return Input(name=name, kind=kind, vocabulary=tuple(values.head(30)))  # the rest is unknown to the model
