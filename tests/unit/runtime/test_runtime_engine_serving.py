"""The code that loads, checks and runs an engine, on a GPU made of host memory."""

import ctypes
import gc
import sys

import numpy as np
import onnx.parser
import polars as pl
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fake_gpu import FakeDriver, fake_tensorrt

from modelway.bundle.bundle import MODEL_FILE, write_bundle
from modelway.bundle.canonical import canonical_json
from modelway.bundle.engines import ENGINES_FILE, EngineFingerprint, Engines, Profile
from serving.runtime.model import Model

MAX_ROWS = 8
OTHER = """
<ir_version: 8, opset_import: ["" : 17]>
other (float[N, 3] features) => (float[N] probability)
<int64 first = {0}, float zero = {0}, float half = {0.5}>
{ value = Gather<axis = 1>(features, first) nothing = Mul(value, zero) missing = IsNaN(nothing)
  known = Where(missing, zero, nothing) probability = Add(known, half) }
"""
"""Says one half to everything."""


@pytest.fixture
def driver(monkeypatch):
    driver = FakeDriver()
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: driver)
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt(max_rows=MAX_ROWS))
    return driver


@pytest.fixture
def carrying(bundled, tmp_path):
    """The logistic bundle with an engine that holds these bytes; None: those of its own graph."""

    def make(plan=None, **more):
        plain = bundled("logistic")
        reference = tmp_path / "reference.parquet"
        rng = np.random.default_rng(0)
        frame = pl.DataFrame(rng.normal(size=(20, 3)), schema=list(plain.signature.names))
        frame.write_parquet(reference)
        said = {
            "module": "tensorrt",
            "version": "1.7",
            "arch": "sm89",
            "precision": "fp32",
            "profile": Profile.up_to(MAX_ROWS),
            "graph_sha256": plain.manifest.files[MODEL_FILE].sha256,
            "network_sha256": "1" * 64,
            "limit": 1e-5,
        }
        engine = EngineFingerprint(**said | more)
        return write_bundle(
            tmp_path / "carrying",
            onnx=plain.model,
            signature=plain.signature,
            reference=reference,
            slo=plain.slo,
            card="",
            lineage=plain.lineage,
            key=Ed25519PrivateKey.from_private_bytes(bytes(32)),
            extras={
                ENGINES_FILE: canonical_json(Engines(engines=(engine,))),
                engine.file: plan or plain.model.read_bytes(),
            },
        )

    return make


def test_an_engine_that_fits_and_agrees_serves_and_says_so(driver, carrying):
    model = Model(carrying())

    assert model.platform == "tensorrt"
    assert "tensorrt 1.7 on NVIDIA L4 (sm89), fp32; differs from the graph by at most 0" in model.why
    assert model.one([0.0, 0.0, 0.0])[0] == 0.5
    assert model.warm_up().one_row_us > 0


@pytest.mark.parametrize("rows", [1, MAX_ROWS - 1, MAX_ROWS, MAX_ROWS + 1, 3 * MAX_ROWS + 2])
def test_any_number_of_rows_is_cut_to_what_the_profile_takes(driver, carrying, bundled, rows):
    X = np.random.default_rng(1).normal(size=(rows, 3)).astype(np.float32)
    X[0, 0] = np.nan

    np.testing.assert_array_equal(Model(carrying()).many(X), Model(bundled("logistic")).many(X))


def test_rows_that_lie_apart_in_memory_are_copied_whole(driver, carrying, bundled):
    X = np.asfortranarray(np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32))

    np.testing.assert_array_equal(Model(carrying()).many(X), Model(bundled("logistic")).many(X))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        pytest.param({"arch": "sm90"}, "they are for sm90, this GPU (NVIDIA L4) is sm89", id="other-gpu"),
        pytest.param({"version": "1.8"}, "1.8, installed is 1.7", id="other-version"),
        pytest.param({"plan": b"not a plan"}, "does not load engine-", id="damaged-by-its-maker"),
        pytest.param(
            {"plan": onnx.parser.parse_model(OTHER).SerializeToString()},
            "the engine's answers differ from the graph's",
            id="another-opinion",
        ),
    ],
)
def test_onnx_runtime_serves_in_its_stead_and_says_why(driver, carrying, more, says):
    model = Model(carrying(**more))

    assert model.platform == "onnxruntime"
    assert says in model.why
    assert model.one([0.0, 0.0, 0.0])[0] == 0.5


def test_the_gpus_memory_is_given_back_with_the_model(driver, carrying):
    model = Model(carrying())
    held = len(driver.memory)

    del model
    gc.collect()

    assert (held, len(driver.memory)) == (2, 0)
    assert "cuDevicePrimaryCtxRelease_v2" in driver.calls
