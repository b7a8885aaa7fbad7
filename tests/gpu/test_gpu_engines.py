"""An engine on the GPU against the graph in ONNX Runtime on the CPU."""

import sys
import threading

import numpy as np
import pytest
from optimize_bundles import bundle_of, trained

from modelway.bundle.engines import Profile, engines_of
from modelway.bundle.signing import load_or_create_key
from modelway.optimize.compare import latencies
from modelway.optimize.cuda import gpu
from modelway.optimize.engines import Targets, make_engines, with_engines
from modelway.optimize.scoring import Graph
from modelway.optimize.trees import boundary_rows, read_forest, tree_nodes
from serving.runtime.model import Model

LIMITS = {"fp32": 1e-5, "fp16": 5e-3, "bf16": 2e-2, "int8": 5e-2}
"""Largest |probability difference| that each precision is held to: trees must keep the first in all."""
MAX_ROWS = 256


@pytest.fixture(params=["hgb", "mlp"])
def model(request, use_case, make_loans):
    return trained(request.param, use_case, make_loans(600, seed=1))


def signed(folder, model, module, precision):
    """A bundle with one engine for this GPU."""
    limit = LIMITS["fp32" if model.kind == "hgb" else precision]
    targets = Targets(module, ("current",), (precision,), Profile.up_to(MAX_ROWS), limit)
    bundle = bundle_of(folder, model)
    engines = make_engines(bundle, model.X, targets, folder / "cache")
    return with_engines(bundle, engines, folder / "bundles", load_or_create_key(folder / "keys"))


@pytest.fixture(params=["fp32", "fp16", "bf16", "int8"])
def served(request, model, module, tmp_path):
    if (model.kind, request.param) == ("hgb", "int8"):
        pytest.skip("trees are not quantised")
    bundle = signed(tmp_path, model, module, request.param)
    return bundle, Model(bundle), request.param


def test_the_engine_serves_and_says_on_what(served, module):
    bundle, running, _ = served

    assert running.platform == module.__name__, running.why
    assert engines_of(bundle)[0].file in running.why
    assert gpu().name in running.why


@pytest.mark.parametrize("rows", [1, 2, 63, 64, 65, MAX_ROWS, MAX_ROWS + 1, 600])
def test_the_engine_answers_like_the_graph_at_and_beside_its_profiles_edges(served, model, rows):
    bundle, running, precision = served
    X = np.ascontiguousarray(np.resize(model.X, (rows, model.X.shape[1])))

    gap = np.abs(running.many(X) - Graph(bundle.model).probabilities(X)).max()

    assert gap <= LIMITS["fp32" if model.kind == "hgb" else precision]


def test_a_row_by_itself_is_answered_like_the_same_row_among_others(served, model):
    _, running, _ = served

    alone = [running.one(row)[0] for row in model.X[:20]]

    np.testing.assert_allclose(alone, running.many(model.X[:20]), atol=1e-5)


def test_rows_on_the_trees_thresholds_and_missing_values_go_the_same_way(
    module, use_case, make_loans, tmp_path
):
    bundle = signed(tmp_path, trained("hgb", use_case, make_loans(600, seed=1)), module, "fp32")
    content = bundle.model.read_bytes()
    X = boundary_rows(read_forest(tree_nodes(content)[0]), len(bundle.signature.inputs), 5_000)

    np.testing.assert_allclose(Model(bundle).many(X), Graph(content).probabilities(X), atol=1e-5)


def test_threads_that_share_an_engine_get_their_own_answers(served, model):
    _, running, _ = served
    expected, found = running.many(model.X[:64]), {}

    def ask(start):
        found[start] = [float(running.one(row)[0]) for row in model.X[start : start + 16]]

    threads = [threading.Thread(target=ask, args=(start,)) for start in range(0, 64, 16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    np.testing.assert_allclose(np.concatenate([found[s] for s in range(0, 64, 16)]), expected, atol=1e-5)


def test_the_second_build_on_the_gpu_comes_from_the_cache(model, module, tmp_path):
    bundle = bundle_of(tmp_path, model)
    targets = Targets(module, ("current",), ("fp32",), Profile.up_to(MAX_ROWS), LIMITS["fp32"])
    make_engines(bundle, model.X, targets, tmp_path / "cache")

    (again,) = make_engines(bundle, model.X, targets, tmp_path / "cache")

    assert again.note == "taken from the cache"


def test_figures_by_batch_are_printed(served, model, capsys):
    """No limit: figures depend on the device. `pytest tests/gpu -k figures` shows them."""
    bundle, running, precision = served
    on_gpu, on_cpu = latencies(running.many, model.X), latencies(Graph(bundle.model).probabilities, model.X)

    lines = [f"{gpu().name} {running.platform} {model.kind} {precision}"]
    for ours, graph in zip(on_gpu, on_cpu, strict=True):
        lines.append(
            f"{ours['rows']:>6} rows: p50 {ours['p50_us']:>8} µs, p99 {ours['p99_us']:>8} µs, "
            f"{ours['rows_per_s']:>10} rows/s; ONNX Runtime, one core: p50 {graph['p50_us']:>8} µs"
        )
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")

    assert all(each["calls"] >= 1 for each in on_gpu)
