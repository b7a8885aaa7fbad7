from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modelway.bundle.lineage import Lineage
from modelway.bundle.signature import Input, Signature
from modelway.contract import Slo


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture
def parts(key: Ed25519PrivateKey) -> dict[str, Any]:
    """Everything `write_bundle` needs; the graph's bytes are not looked into by the bundle."""
    return {
        "onnx": b"a graph",
        "signature": Signature(
            model_name="credit",
            key="loan_id",
            label="charged_off",
            inputs=(
                Input(name="approved_usd", kind="numeric"),
                Input(name="state", kind="category", vocabulary=("CA", "NY")),
            ),
            threshold=0.25,
        ),
        "reference": b"rows",
        "slo": Slo(latency_limit_ms=25.0, rate_rps=100.0),
        "card": "# Credit\n",
        "lineage": Lineage(
            use_case="credit",
            snapshot_id="5" * 64,
            as_of=datetime(2005, 1, 1, tzinfo=UTC),
            kind="hgb",
            params={"learning_rate": 0.1, "max_iter": 50},
            seed=7,
            metrics={"roc_auc": 0.71},
        ),
        "key": key,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "bundles"
