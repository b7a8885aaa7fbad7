"""A real signed bundle around a graph small enough to compute by hand."""

from datetime import UTC, datetime

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import TensorProto, helper, numpy_helper

from modelway.bundle.bundle import Bundle, write_bundle
from modelway.bundle.lineage import Lineage
from modelway.bundle.signature import Input, Signature
from modelway.bundle.signing import verify_pem
from modelway.contract import Slo

WEIGHTS = np.array([[0.001], [0.5], [-0.25]], dtype=np.float32)


def graph(weights=WEIGHTS):
    """sigmoid(features @ weights); a missing value counts as zero."""
    width = weights.shape[0]
    nodes = [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "features"], ["filled"]),
        helper.make_node("MatMul", ["filled", "weights"], ["column"]),
        helper.make_node("Sigmoid", ["column"], ["p"]),
        helper.make_node("Squeeze", ["p", "axis"], ["probability"]),
    ]
    constants = [
        numpy_helper.from_array(np.float32(0), "zero"),
        numpy_helper.from_array(weights, "weights"),
        numpy_helper.from_array(np.array([1]), "axis"),
    ]
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", width])
    probability = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n"])
    made = helper.make_graph(nodes, "fake", [features], [probability], constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnx.ModelProto.SerializeToString(model)


@pytest.fixture
def make_graph():
    return graph


@pytest.fixture
def verify_key(tmp_path, signing_key):
    """The PEM file a child process verifies bundles with."""
    path = tmp_path / "verify.pem"
    path.write_bytes(verify_pem(signing_key.public_key()))
    return path


@pytest.fixture(scope="session")
def signing_key():
    return Ed25519PrivateKey.generate()


@pytest.fixture
def make_bundle(tmp_path, signing_key):
    def make(onnx_bytes=None, threshold=0.5) -> Bundle:
        inputs = (
            Input(name="amount", kind="numeric"),
            Input(name="state", kind="category", vocabulary=("FL", "NY")),
            Input(name="jobs", kind="numeric"),
        )
        return write_bundle(
            tmp_path / "bundles",
            onnx=graph() if onnx_bytes is None else onnx_bytes,
            signature=Signature(
                model_name="fake", key="loan_id", label="lost", inputs=inputs, threshold=threshold
            ),
            reference=b"none",
            slo=Slo(latency_limit_ms=50, rate_rps=10),
            card="# fake",
            lineage=Lineage(
                use_case="fake", snapshot_id="s", as_of=datetime(2005, 1, 1, tzinfo=UTC), kind="hgb", seed=1
            ),
            key=signing_key,
        )

    return make


def rows(first, count):
    """Rows whose ids run on from `first`, a tenth of them with missing values."""
    ids = np.arange(first, first + count)
    missing = ids % 10 == 0
    return pa.table(
        {
            "loan_id": pa.array([f"L{i:07d}" for i in ids]),
            "event_time": pa.array(ids * 1_000_000, pa.timestamp("us", "UTC")),
            "amount": pa.array((ids % 977).astype(float), mask=missing),
            "state": pa.array(np.array(["FL", "NY", "XX"])[ids % 3], mask=missing),
            "jobs": pa.array(ids % 7),
        }
    )


@pytest.fixture
def make_folder(tmp_path):
    def make(files, rows_per_file, name="source"):
        folder = tmp_path / name
        folder.mkdir()
        for i in range(files):
            pq.write_table(rows(i * rows_per_file, rows_per_file), folder / f"part-{i}.parquet")
        return folder

    return make
