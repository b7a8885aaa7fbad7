"""A small signed bundle, and the random trees of tests/integration/optimize."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import onnx.parser
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modelway.bundle.bundle import write_bundle
from modelway.bundle.lineage import Lineage
from modelway.bundle.signature import Input, Signature
from modelway.contract import Slo

sys.path.insert(0, str(Path(__file__).parents[2] / "integration" / "optimize"))

GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
echo (float[N, 3] features) => (float[N] probability)
<int64 first = {0}> { probability = Gather<axis = 1>(features, first) }
"""


@pytest.fixture
def signing_key():
    return Ed25519PrivateKey.from_private_bytes(bytes(32))


@pytest.fixture
def make_bundle(tmp_path, signing_key):
    def make(graph=None):
        return write_bundle(
            tmp_path / "bundles",
            onnx=graph or onnx.parser.parse_model(GRAPH).SerializeToString(),
            signature=Signature(
                model_name="paint",
                key="paint_id",
                label="sold",
                inputs=tuple(Input(name=name, kind="numeric") for name in ("amount", "months", "age")),
                threshold=0.5,
            ),
            reference=b"",
            slo=Slo(latency_limit_ms=20.0, rate_rps=100.0),
            card="",
            lineage=Lineage(
                use_case="paint",
                snapshot_id="0" * 64,
                as_of=datetime(2020, 1, 1, tzinfo=UTC),
                kind="echo",
                seed=1,
            ),
            key=signing_key,
        )

    return make
