import numpy as np
import polars as pl
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modelway.bundle.bundle import MODEL_FILE, write_bundle
from modelway.bundle.canonical import canonical_json
from modelway.bundle.engines import ENGINES_FILE, EngineFingerprint, Engines, Profile
from modelway.errors import BundleRejectedError, EngineError
from modelway.optimize.cuda import Gpu, gpu
from serving.runtime.engine import fit, largest_gap, reference_rows
from serving.runtime.exposition import exposition
from serving.runtime.metadata import model_metadata
from serving.runtime.model import Model
from serving.runtime.served import Served

HERE = Gpu("NVIDIA L4", "sm89")
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def engine(**more):
    said = {
        "module": "tensorrt_rtx",
        "version": "1.7",
        "arch": "sm89",
        "precision": "fp32",
        "profile": Profile(),
        "graph_sha256": "0" * 64,
        "network_sha256": "1" * 64,
        "limit": 1e-4,
    }
    return EngineFingerprint(**said | more)


def installed(**versions):
    def version(module):
        if module not in versions:
            raise EngineError(f"{module} cannot be imported")
        return versions[module]

    return version


@pytest.fixture
def carrying(bundled, tmp_path):
    """The logistic bundle with these extra files and this drift reference."""

    def make(extras, reference=b""):
        plain = bundled("logistic")
        return write_bundle(
            tmp_path / "carrying",
            onnx=plain.model,
            signature=plain.signature,
            reference=reference,
            slo=plain.slo,
            card="",
            lineage=plain.lineage,
            key=KEY,
            extras=extras,
        )

    make.graph_sha256 = lambda: bundled("logistic").manifest.files[MODEL_FILE].sha256
    return make


def listed(*engines):
    return {ENGINES_FILE: canonical_json(Engines(engines=engines)), **{e.file: b"plan" for e in engines}}


def test_the_first_engine_of_this_gpu_and_this_version_is_taken():
    others = (engine(arch="sm80"), engine(version="1.6"), engine(), engine(precision="fp16"))

    assert fit(others, HERE, installed(tensorrt_rtx="1.7")) == engine()


@pytest.mark.parametrize(
    ("engines", "versions", "says"),
    [
        pytest.param(
            (engine(arch="sm80"), engine(arch="sm120")),
            {"tensorrt_rtx": "1.7"},
            "they are for sm120, sm80, this GPU (NVIDIA L4) is sm89",
            id="another-architecture",
        ),
        pytest.param((engine(),), {"tensorrt_rtx": "1.8"}, "1.7, installed is 1.8", id="another-version"),
        pytest.param((engine(),), {}, "tensorrt_rtx cannot be imported", id="not-installed"),
        pytest.param(
            (engine(module="tensorrt"),), {"tensorrt_rtx": "1.7"}, "tensorrt cannot be", id="other-module"
        ),
    ],
)
def test_why_no_engine_fits_is_told(engines, versions, says):
    with pytest.raises(EngineError) as caught:
        fit(engines, HERE, installed(**versions))

    assert says in caught.value.found


def test_a_bundle_without_engines_is_served_by_onnx_runtime_and_says_so(bundled):
    model = Model(bundled("logistic"))

    assert (model.platform, model.why) == ("onnxruntime", "the bundle carries no engine")


def test_engines_that_nothing_here_can_run_are_named_with_the_reason(carrying):
    try:
        gpu()
        pytest.skip("this machine has a GPU; tests/gpu runs the engine")
    except EngineError as error:
        reason = error.found
    model = Model(carrying(listed(engine(graph_sha256=carrying.graph_sha256()))))

    assert model.platform == "onnxruntime"
    assert model.why == f"1 engine of the bundle is not used: {reason}"
    assert model.one([0.0, 0.0, 0.0])[0] == 0.5


@pytest.mark.parametrize(
    ("extras", "says"),
    [
        pytest.param({ENGINES_FILE: b"{}"}, "does not say what this version reads", id="no-list"),
        pytest.param(listed(engine()), "was made from another graph", id="another-graph"),
    ],
)
def test_a_signed_list_that_does_not_hold_rejects_the_bundle(carrying, extras, says):
    bundle = carrying(extras)

    with pytest.raises(BundleRejectedError, match=says):
        Model(bundle)


def test_a_listed_engine_that_is_missing_rejects_the_bundle(carrying):
    extras = listed(engine(graph_sha256=carrying.graph_sha256()))
    bundle = carrying({ENGINES_FILE: extras[ENGINES_FILE]})

    with pytest.raises(BundleRejectedError, match="and missing"):
        Model(bundle)


def test_an_engine_is_compared_on_the_reference_and_on_a_row_of_which_nothing_is_known(carrying, tmp_path):
    frame = pl.DataFrame({"amount": [1.0, 2.0], "months": [None, 4.0], "colour": [0.0, 1.0], "label": [0, 1]})
    frame.write_parquet(tmp_path / "reference.parquet")

    rows = reference_rows(carrying({}, tmp_path / "reference.parquet"))

    expected = [[1.0, np.nan, 0.0], [2.0, 4.0, 1.0], [np.nan] * 3]
    np.testing.assert_array_equal(rows, np.array(expected, np.float32))


@pytest.mark.parametrize("frame", [None, {"amount": [], "months": [], "colour": []}, {"other": [1.0]}])
def test_without_rows_to_compare_on_no_engine_serves(carrying, tmp_path, frame):
    content = b"no parquet"
    if frame is not None:
        pl.DataFrame(frame).write_parquet(tmp_path / "reference.parquet")
        content = (tmp_path / "reference.parquet").read_bytes()

    with pytest.raises(EngineError, match="to compare on"):
        reference_rows(carrying({}, content))


def test_the_gap_by_hand():
    rows, half = np.zeros((2, 3), np.float32), np.float32(0.5)

    def graph(matrix):
        return np.array([0.5, half], np.float32)

    assert largest_gap(graph, lambda m: np.array([0.5, 0.75], np.float32), rows, 0.25) == 0.25
    with pytest.raises(EngineError, match=r"differ from the graph's by 0\.25, limit 0\.1"):
        largest_gap(graph, lambda m: np.array([0.5, 0.75], np.float32), rows, 0.1)
    with pytest.raises(EngineError, match="differ"):
        largest_gap(graph, lambda m: np.array([0.5, np.nan], np.float32), rows, 1.0)


def test_a_graph_of_onnx_runtime_is_refused_on_other_providers(bundled, monkeypatch):
    import onnxruntime as ort  # noqa: PLC0415 - this test alone replaces a method of it

    monkeypatch.setattr(ort.InferenceSession, "get_providers", lambda self: ["OtherProvider"])

    with pytest.raises(BundleRejectedError, match="would run on \\['OtherProvider'\\]"):
        Model(bundled("logistic"))


def test_the_backend_stands_in_the_metadata_and_in_the_metrics(bundled):
    bundle = bundled("logistic")
    served = Served(bundle, "r1", Model(bundle))

    metadata, metrics = model_metadata(served), exposition(served.families()).decode()

    assert metadata["platform"] == "onnxruntime"
    assert metadata["parameters"]["why_this_platform"] == "the bundle carries no engine"
    assert 'modelway_backend_info{model="paint",revision="r1",platform="onnxruntime"} 1' in metrics
