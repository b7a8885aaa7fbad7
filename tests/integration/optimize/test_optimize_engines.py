"""Real engines by TensorRT for RTX, compiled for GPUs that this machine need not have."""

import json

import onnx
import onnx.parser
import pytest
from optimize_bundles import CALIBRATOR, bundle_of, key_file, trained
from typer.testing import CliRunner

from modelway.bundle.bundle import Bundle
from modelway.bundle.derived import SIGNS, Derived
from modelway.bundle.engines import ENGINES_FILE, Profile, engines_of
from modelway.bundle.signing import load_or_create_key
from modelway.cli.optimize import app
from modelway.errors import BundleRejectedError, ConfigError, EngineError, ParityError, UnsupportedGraphError
from modelway.features.definitions import FeatureSet
from modelway.optimize.engines import Targets, make_engines, network_for, with_engines
from modelway.optimize.export import to_onnx
from modelway.optimize.tensorrt import architectures, build_engine, load_module, resolve_arch
from modelway.optimize.trees import converted

pytestmark = pytest.mark.accelerator("tensorrt-rtx")
ARCH = "sm89"


@pytest.fixture
def module():
    return load_module("tensorrt_rtx")


@pytest.fixture(params=["hgb", "mlp"])
def model(request, use_case, make_loans):
    return trained(request.param, use_case, make_loans(600, seed=1))


@pytest.fixture
def trees(use_case, make_loans):
    return trained("hgb", use_case, make_loans(600, seed=1))


def targets(module, *precisions, archs=(ARCH,), limit=1e-2):
    return Targets(module, archs, precisions, Profile.up_to(128), limit)


def test_both_kinds_of_model_become_engines_in_every_precision_they_bear(model, module, tmp_path):
    bundle, X = bundle_of(tmp_path, model), model.X
    precisions = ("fp32", "fp16", "bf16") + (("int8",) if model.kind == "mlp" else ())

    made = make_engines(bundle, X, targets(module, *precisions), tmp_path / "cache")

    assert [e.fingerprint.precision for e in made] == list(precisions)
    assert len({e.fingerprint.id for e in made}) == len(made)
    assert all(len(e.plan) > 10_000 and e.note == "built now" for e in made)


@pytest.mark.parametrize("kind", ["hgb", "mlp"])
def test_every_derived_feature_is_compiled_like_the_rest(kind, use_case, make_loans, module, tmp_path):
    derived = tuple(Derived(name=how, how=how, of=("amount_usd", "staff")) for how in SIGNS)
    use_case.features = FeatureSet(row=use_case.features.row, derived=derived)
    model = trained(kind, use_case, make_loans(600, seed=1))

    (made,) = make_engines(bundle_of(tmp_path, model), model.X, targets(module, "fp32"), tmp_path / "cache")

    assert len(made.plan) > 10_000


def test_the_second_build_comes_from_the_cache_and_a_damaged_one_is_made_again(trees, module, tmp_path):
    bundle, cache = bundle_of(tmp_path, trees), tmp_path / "cache"
    (first,) = make_engines(bundle, trees.X, targets(module, "fp32"), cache)
    (second,) = make_engines(bundle, trees.X, targets(module, "fp32"), cache)
    stored = cache / f"{first.fingerprint.id}.plan"
    stored.write_bytes(stored.read_bytes()[:-1])
    (third,) = make_engines(bundle, trees.X, targets(module, "fp32"), cache)

    assert second.note == "taken from the cache"
    assert "is not what was stored" in third.note
    assert first.plan == second.plan == third.plan


def test_the_tree_node_itself_is_refused_by_name_with_the_way_out(trees, module):
    content = to_onnx(trees.fitted, CALIBRATOR, trees.signature.inputs)

    with pytest.raises(UnsupportedGraphError, match=r"node 'trees' \(TreeEnsembleRegressor\)") as caught:
        build_engine(content, module, ARCH, Profile())

    assert "Plugin not found" in caught.value.found
    assert "tensor form" in caught.value.remedy


def test_an_operator_that_nobody_knows_is_refused_by_name(module):
    node = onnx.helper.make_node("Wobble", ["features"], ["probability"], "w", domain="example.org")
    graph = onnx.helper.make_graph(
        [node],
        "odd",
        [onnx.helper.make_tensor_value_info("features", 1, ["n", 1])],
        [onnx.helper.make_tensor_value_info("probability", 1, ["n"])],
    )
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("example.org", 1)]
    content = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()

    with pytest.raises(UnsupportedGraphError, match=r"node 'w' \(Wobble\)"):
        build_engine(content, module, ARCH, Profile())


def test_every_unknown_operator_is_named_and_nodes_without_a_name_by_their_place(module):
    text = """<ir_version: 8, opset_import: ["" : 18, "ai.onnx.ml" : 3]>
    odd (float[N, 2] features) => (float[N, 2] probability) {
        a = ai.onnx.ml.Normalizer <norm = "L2"> (features)
        b = Relu(a)
        probability = ai.onnx.ml.Scaler <offset = [0.0, 0.0], scale = [1.0, 1.0]> (b)
    }"""

    with pytest.raises(UnsupportedGraphError, match=r"2 nodes: 0 \(Normalizer\), 2 \(Scaler\): ") as caught:
        build_engine(onnx.parser.parse_model(text).SerializeToString(), module, ARCH, Profile())

    assert "standard operators" in caught.value.remedy
    assert "tensor form" not in caught.value.remedy


def test_what_the_architecture_cannot_compute_is_told_in_the_compilers_words(trees, module):
    content = converted(to_onnx(trees.fitted, CALIBRATOR, trees.signature.inputs), "gemm")

    with pytest.raises(EngineError, match="SM75") as caught:
        build_engine(content, module, "sm75", Profile())

    assert "precision" in caught.value.remedy


def test_an_architecture_must_be_one_that_the_module_knows(module):
    assert {"sm80", "sm89", "sm120"} <= set(architectures(module))
    with pytest.raises(ConfigError, match="'sm42'"):
        resolve_arch(module, "sm42")


def test_a_precision_that_changes_the_answers_is_refused(use_case, make_loans):
    network = trained("mlp", use_case, make_loans(600, seed=1))
    content = to_onnx(network.fitted, CALIBRATOR, network.signature.inputs)

    with pytest.raises(ParityError, match="bf16 answers differently"):
        network_for(content, "bf16", network.X, limit=1e-6, threshold=0.25)


def test_a_bundle_with_engines_is_another_bundle_with_the_same_graph(trees, module, tmp_path):
    bundle, keys = bundle_of(tmp_path, trees), tmp_path / "keys"
    engines = make_engines(
        bundle, trees.X, targets(module, "fp32", archs=("sm80", "sm89")), tmp_path / "cache"
    )

    signed = with_engines(bundle, engines, tmp_path / "bundles", load_or_create_key(keys))

    assert signed.digest != bundle.digest
    assert signed.manifest.files["model.onnx"] == bundle.manifest.files["model.onnx"]
    assert [e.arch for e in engines_of(signed)] == ["sm80", "sm89"]
    assert [signed.read(e.file) for e in engines_of(signed)] == [e.plan for e in engines]
    again = with_engines(signed, engines[:1], tmp_path / "bundles", load_or_create_key(keys))
    assert [e.arch for e in engines_of(again)] == ["sm80"]
    assert len([name for name in again.manifest.files if name.endswith(".plan")]) == 1


def test_an_altered_engine_makes_the_bundle_worthless(trees, module, tmp_path):
    bundle, keys = bundle_of(tmp_path, trees), tmp_path / "keys"
    engines = make_engines(bundle, trees.X, targets(module, "fp32"), tmp_path / "cache")
    signed = with_engines(bundle, engines, tmp_path / "bundles", load_or_create_key(keys))
    plan = signed.path / engines[0].fingerprint.file
    content = bytearray(plan.read_bytes())
    content[1000] ^= 1
    plan.write_bytes(content)

    with pytest.raises(BundleRejectedError, match="engine-"):
        Bundle.open(signed.path, verify_key=load_or_create_key(keys).public_key())


def run(*arguments):
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads(done.stdout)


def test_the_commands_compare_compile_and_sign(trees, tmp_path, monkeypatch):
    monkeypatch.setenv("MODELWAY_HOME", str(tmp_path / "home"))
    bundle, pem = bundle_of(tmp_path, trees), key_file(tmp_path)
    where = ["--bundle", bundle.path, "--verify-key", pem, "--arch", ARCH]

    (compared,) = run("compare", *where)
    (compiled,) = run("engines", *where)

    outcomes = {v["name"]: v["outcome"] for v in compared["variants"]}
    assert outcomes == {
        "onnx": "pass",
        "onnx-int8": "refused",
        "tensor-gemm": "pass",
        "tensor-traversal": "pass",
        f"{ARCH}-fp32": "pass",
    }
    assert compared["chosen"] == "onnx", "the tensor forms are for compilers"
    assert compared["graph_optimization"] == "ORT_ENABLE_ALL"
    assert f"| {ARCH}-fp32 | pass |" in open(compared["report"]).read()  # noqa: PTH123, SIM115 - one read
    (engine,) = compiled["engines"]
    assert engine["note"] == "taken from the cache"
    assert (tmp_path / "home/engines/bundles" / compiled["digest"] / ENGINES_FILE).exists()


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        ("Runtime", ["deserialize_cuda_engine"]),
        ("ICudaEngine", ["num_io_tensors", "get_tensor_name", "create_execution_context"]),
        ("IExecutionContext", ["set_input_shape", "set_tensor_address", "execute_async_v3"]),
    ],
)
def test_the_calls_that_the_server_makes_on_a_gpu_exist(module, owner, names):
    assert [name for name in names if not hasattr(getattr(module, owner), name)] == []
