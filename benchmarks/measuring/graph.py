"""The one model that every server serves, and what it must answer."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from modelway.bundle.bundle import write_bundle
from modelway.bundle.lineage import Lineage
from modelway.bundle.signature import Input, Signature
from modelway.bundle.signing import VERIFY_KEY_FILE, load_or_create_key
from modelway.contract import Slo

FEATURES, TREES = 12, 100
ROW = tuple(round(0.37 * at - 2, 2) for at in range(FEATURES))
"""The row of every request."""


def train(folder: Path) -> Path:
    """Gradient-boosted trees on seeded rows with missing values, as one graph."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415 - slow; after the cheap checks
    from skl2onnx import to_onnx  # noqa: PLC0415 - as above
    from skl2onnx.common.data_types import FloatTensorType  # noqa: PLC0415 - as above
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 - as above
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - as above

    random = np.random.default_rng(7)
    X = random.normal(size=(5000, FEATURES)).astype(np.float32)
    y = (X[:, 0] + X[:, 1] * X[:, 2] + random.normal(size=5000) > 0.5).astype(int)
    X[random.random(X.shape) < 0.05] = np.nan
    with threadpool_limits(1):  # on a busy machine, two threads wait for each other
        model = HistGradientBoostingClassifier(max_iter=TREES, random_state=7).fit(X, y)
    kind = [("features", FloatTensorType([None, FEATURES]))]
    exported = to_onnx(model, initial_types=kind, options={id(model): {"zipmap": False}})
    graph = exported.graph
    graph.initializer.append(numpy_helper.from_array(np.array(1, dtype=np.int64), "positive"))
    graph.node.append(helper.make_node("Gather", ["probabilities", "positive"], ["probability"], axis=1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None]))
    path = folder / "trees.onnx"
    path.write_bytes(exported.SerializeToString())
    return path


def expected_probability(model: Path) -> float:
    """What ONNX Runtime itself gives for `ROW`."""
    import onnxruntime as ort  # noqa: PLC0415 - slow

    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return float(session.run(["probability"], {"features": np.array([ROW], dtype=np.float32)})[0][0])


def bundle_of(folder: Path, model: Path) -> tuple[Path, Path]:
    """The same graph as a signed bundle: its folder, and the key that verifies it."""
    keys = folder / "keys"
    inputs = tuple(Input(name=f"x{at}", kind="numeric") for at in range(FEATURES))
    bundle = write_bundle(
        folder / "bundles",
        onnx=model,
        signature=Signature(model_name="bench", key="row_id", label="y", inputs=inputs, threshold=0.5),
        reference=b"",
        slo=Slo(latency_limit_ms=25, rate_rps=1000),
        card="",
        lineage=Lineage(
            use_case="bench", snapshot_id="", as_of=datetime(2020, 1, 1, tzinfo=UTC), kind="hgb", seed=7
        ),
        key=load_or_create_key(keys),
    )
    return bundle.path, keys / VERIFY_KEY_FILE
