import importlib.util

import onnx
import pytest
from google.protobuf import text_format
from random_trees import regressor

from modelway.bundle.bundle import MODEL_FILE, write_bundle
from modelway.bundle.canonical import canonical_json
from modelway.bundle.engines import ENGINES_FILE, EngineFingerprint, Engines, Profile
from modelway.errors import ConfigError, ParityError, StorageError
from serving.triton.config import TritonOptions
from serving.triton.repository import render


def model_config_pb2():
    """tritonclient's module alone: its package cannot live beside the KServe SDK in one process."""
    found = importlib.util.find_spec("tritonclient").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location("model_config_pb2", f"{found}/grpc/model_config_pb2.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MODEL_CONFIG = model_config_pb2()


def parsed(folder):
    return text_format.Parse((folder / "config.pbtxt").read_text(), MODEL_CONFIG.ModelConfig())


def with_engine(bundle, key, **more):
    said = {
        "module": "tensorrt",
        "version": "10.13",
        "arch": "sm90",
        "precision": "fp16",
        "profile": Profile(),
        "graph_sha256": bundle.manifest.files[MODEL_FILE].sha256,
        "network_sha256": "1" * 64,
        "limit": 1e-4,
    }
    engine = EngineFingerprint(**said | more)
    return write_bundle(
        bundle.path.parent,
        onnx=bundle.model,
        signature=bundle.signature,
        reference=b"",
        slo=bundle.slo,
        card="",
        lineage=bundle.lineage,
        key=key,
        extras={ENGINES_FILE: canonical_json(Engines(engines=(engine,))), engine.file: b"a plan"},
    )


def test_onnx_runtime_on_a_gpu_gets_the_tensorrt_provider_with_its_cache_and_profile(make_bundle, tmp_path):
    bundle = make_bundle()

    folder = render(bundle, tmp_path / "repo", TritonOptions(max_batch_rows=256, max_queue_delay_us=500))

    config = parsed(folder)
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        "1/model.onnx",
        "config.pbtxt",
    ]
    assert (config.name, config.backend, config.max_batch_size) == ("paint", "onnxruntime", 256)
    assert config.dynamic_batching.max_queue_delay_microseconds == 500
    assert [(g.kind, g.count) for g in config.instance_group] == [
        (MODEL_CONFIG.ModelInstanceGroup.KIND_GPU, 1)
    ]
    assert accelerator.name == "tensorrt"
    assert accelerator.parameters["trt_engine_cache_enable"] == "true"
    assert accelerator.parameters["trt_profile_max_shapes"] == "features:256x3"
    assert config.parameters["bundle"].string_value == bundle.digest


def test_tensors_are_those_of_the_graph(make_bundle, tmp_path):
    config = parsed(render(make_bundle(), tmp_path, TritonOptions(gpu=False)))

    (features,), (probability,) = config.input, config.output
    assert (features.name, features.data_type, list(features.dims)) == (
        "features",
        MODEL_CONFIG.TYPE_FP32,
        [3],
    )
    assert (probability.name, list(probability.dims)) == ("probability", [1])
    assert probability.HasField("reshape")
    assert not probability.reshape.shape
    assert not config.optimization.execution_accelerators.gpu_execution_accelerator


def test_trees_go_to_a_gpu_in_tensor_form_and_to_a_cpu_as_they_are(make_bundle, tmp_path):
    bundle = make_bundle(regressor([(0, "BRANCH_LEQ", 1.0, True, 0, 1)], base=0.0))

    on_gpu, on_cpu = (
        onnx.load(render(bundle, tmp_path / str(gpu), TritonOptions(gpu=gpu)) / "1" / MODEL_FILE)
        for gpu in (True, False)
    )

    assert "TreeEnsembleRegressor" not in {n.op_type for n in on_gpu.graph.node}
    assert [n.op_type for n in on_cpu.graph.node] == ["TreeEnsembleRegressor"]


def test_trees_whose_tensor_form_is_no_probability_are_not_rendered(make_bundle, tmp_path):
    bundle = make_bundle(regressor([(0, "BRANCH_LEQ", 1.0, True, 5, 6)]))

    with pytest.raises(ParityError, match="tensor form"):
        render(bundle, tmp_path / "repo", TritonOptions())
    assert not (tmp_path / "repo").exists()


def test_the_python_backend_carries_its_own_code(make_bundle, tmp_path):
    folder = render(make_bundle(), tmp_path, TritonOptions(backend="python", gpu=False, instances=2))

    assert sorted(p.name for p in (folder / "1").iterdir()) == ["model.onnx", "model.py"]
    assert "class TritonPythonModel" in (folder / "1" / "model.py").read_text()
    assert [(g.kind, g.count) for g in parsed(folder).instance_group] == [
        (MODEL_CONFIG.ModelInstanceGroup.KIND_CPU, 2)
    ]


def test_the_tensorrt_backend_takes_the_engine_of_that_architecture(make_bundle, signing_key, tmp_path):
    bundle = with_engine(make_bundle(), signing_key)
    options = TritonOptions(backend="tensorrt", precision="fp16")

    folder = render(bundle, tmp_path, options, "sm90")

    assert (folder / "1" / "model.plan").read_bytes() == b"a plan"
    with pytest.raises(ConfigError, match="no engine tensorrt sm80 fp16; it carries: tensorrt sm90 fp16"):
        render(bundle, tmp_path, options, "sm80")


def test_an_engine_of_tensorrt_rtx_is_not_for_triton(make_bundle, signing_key, tmp_path):
    bundle = with_engine(make_bundle(), signing_key, module="tensorrt_rtx")

    with pytest.raises(ConfigError, match="carries: tensorrt_rtx sm90"):
        render(bundle, tmp_path, TritonOptions(backend="tensorrt", precision="fp16"), "sm90")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"backend": "python"}, id="python-on-a-gpu"),
        pytest.param({"backend": "tensorrt", "gpu": False}, id="tensorrt-on-a-cpu"),
        pytest.param({"precision": "fp16"}, id="precision-that-nobody-compared"),
    ],
)
def test_options_that_do_not_go_together_are_refused(make_bundle, tmp_path, options):
    with pytest.raises(ConfigError):
        render(make_bundle(), tmp_path, TritonOptions(**options))


def test_a_second_rendering_replaces_the_first_and_leaves_other_models(make_bundle, tmp_path):
    (tmp_path / "other").mkdir()
    render(make_bundle(), tmp_path, TritonOptions(backend="python", gpu=False))

    folder = render(make_bundle(), tmp_path, TritonOptions(gpu=False))

    assert [p.name for p in (folder / "1").iterdir()] == ["model.onnx"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundles", "other", "paint"]


def test_a_folder_that_cannot_be_written_is_named(make_bundle, tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StorageError, match="Triton repository"):
        render(make_bundle(), tmp_path / "file", TritonOptions(gpu=False))
