from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import onnx.parser
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modelway.bundle.bundle import Bundle, write_bundle
from modelway.bundle.lineage import Lineage
from modelway.bundle.policy import POLICY_FILE, ServingPolicy
from modelway.bundle.signature import Input, Signature
from modelway.contract import Slo
from serving.runtime.app import App
from serving.runtime.columns import Columns
from serving.runtime.model import Model
from serving.runtime.prediction_log import PredictionLog
from serving.runtime.served import Served

LOGISTIC = """
<ir_version: 8, opset_import: ["" : 17]>
logistic (float[N, 3] features) => (float[N] probability)
<float zero = {0}, float[3] weights = {0.5, -0.25, 1.0}> {
    missing = IsNaN(features)
    filled = Where(missing, zero, features)
    score = MatMul(filled, weights)
    probability = Sigmoid(score)
}
"""
"""P = sigmoid(0.5 amount - 0.25 months + 1.0 colour), missing values count as zero."""

ECHO = """
<ir_version: 8, opset_import: ["" : 17]>
echo (float[N, 3] features) => (float[N] probability)
<int64 first = {0}> { probability = Gather<axis = 1>(features, first) }
"""
"""P is whatever the first column holds, be it a probability or not."""

FRAGILE = """
<ir_version: 8, opset_import: ["" : 17]>
fragile (float[N, 3] features) => (float[N] probability)
<int64 first = {0}, float[1] table = {0.5}> {
    value = Gather<axis = 1>(features, first)
    index = Cast<to = 7>(value)
    probability = Gather(table, index)
}
"""
"""Raises inside ONNX Runtime unless the first column is 0."""

GRAPHS = {"logistic": LOGISTIC, "echo": ECHO, "fragile": FRAGILE}
Bundler = Callable[..., Bundle]


@pytest.fixture
def signature() -> Signature:
    return Signature(
        model_name="paint",
        key="paint_id",
        label="sold",
        inputs=(
            Input(name="amount", kind="numeric"),
            Input(name="months", kind="numeric"),
            Input(name="colour", kind="category", vocabulary=("red", "green", "blue")),
        ),
        threshold=0.5,
    )


@pytest.fixture
def columns(signature: Signature) -> Columns:
    return Columns(signature)


@pytest.fixture
def bundled(tmp_path: Path, signature: Signature) -> Bundler:
    """A signed bundle around a graph of this file, or around any graph in ONNX text form."""

    def make(
        graph: str, policy: ServingPolicy | None = None, extras: Mapping[str, bytes] | None = None
    ) -> Bundle:
        asked = {} if policy is None else {POLICY_FILE: policy.model_dump_json().encode()}
        return write_bundle(
            tmp_path / "bundles",
            onnx=onnx.parser.parse_model(GRAPHS.get(graph, graph)).SerializeToString(),
            signature=signature,
            reference=b"",
            slo=Slo(latency_limit_ms=20.0, rate_rps=100.0),
            card="",
            lineage=Lineage(
                use_case="paint",
                snapshot_id="0" * 64,
                as_of=datetime(2020, 1, 1, tzinfo=UTC),
                kind="logistic",
                seed=1,
            ),
            key=Ed25519PrivateKey.from_private_bytes(bytes(32)),
            extras={**asked, **(extras or {})},
        )

    return make


@pytest.fixture
def served(bundled: Bundler) -> Callable[..., App]:
    """The whole server without its socket, on a graph of this file."""

    def make(graph: str, log: PredictionLog | None = None) -> App:
        bundle = bundled(graph)
        app = App([Served(bundle, "r1", Model(bundle), log)])
        app.ready = True
        return app

    return make


@pytest.fixture
def app(served: Callable[..., App]) -> App:
    """On the logistic graph, without a prediction log."""
    return served("logistic")
