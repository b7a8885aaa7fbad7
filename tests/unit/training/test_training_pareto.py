"""The front, the costs that are counted, and choices in which costs count."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationError

from modelway.errors import GateError
from modelway.stats.ranking import pr_auc
from modelway.training.artifacts import Trial
from modelway.training.choice import Tried, choose
from modelway.training.costs import latencies, operations
from modelway.training.pareto import finalists, non_dominated
from modelway.training.policy import Preference

Y = np.array([1, 0, 0, 0] * 60, dtype=np.int8)


def network(width: int) -> bytes:
    """features (n, 3) -> probability (n,), through one hidden layer."""
    random = np.random.default_rng(0)
    first = numpy_helper.from_array(random.random((3, width)).astype(np.float32), "first")
    last = numpy_helper.from_array(random.random((width, 1)).astype(np.float32), "last")
    flat = numpy_helper.from_array(np.array([-1]), "flat")
    nodes = [
        helper.make_node("MatMul", ["features", "first"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "last"], ["c"]),
        helper.make_node("Reshape", ["c", "flat"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n"])],
        initializer=[first, last, flat],
    )
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, ir_version=8, opset_imports=opsets).SerializeToString()


def noisy(share: float, seed: int):
    random = np.random.default_rng(seed)
    return np.where(random.random(len(Y)) < share, Y * 1.0, random.random(len(Y)))


def tried(kind: str, number: int, margins, *, width: int = 4, visits: int = 100) -> Tried:
    graph = network(width)
    costs = {"operations": operations(graph), "bytes": len(graph), "row_visits": visits}
    trial = Trial(
        kind=kind,
        number=number,
        params={},
        rounds=1,
        metrics={"pr_auc": float(pr_auc(Y, margins))},
        run_id="r",
        fit_seconds=0.5,
        costs=costs,
    )
    return Tried(trial, margins, graph)


def given_up(kind: str, number: int) -> Tried:
    trial = Trial(
        kind=kind,
        number=number,
        params={},
        rounds=2,
        metrics={},
        run_id="r",
        fit_seconds=0.1,
        state="pruned",
    )
    return Tried(trial, np.empty(0))


def test_a_network_is_two_operations_a_weight_and_one_a_number_written():
    # 2 * 3 * 10 in the first product, 10 in Relu, 2 * 10 in the second, 1 in Reshape.
    assert operations(network(10)) == 60 + 10 + 20 + 1


def test_trees_are_their_longest_ways_and_one_addition_each():
    deep = {  # tree 0: root -> (leaf, node -> two leaves); tree 1: a single leaf
        "nodes_treeids": [0, 0, 0, 0, 0, 1],
        "nodes_nodeids": [0, 1, 2, 3, 4, 0],
        "nodes_featureids": [0] * 6,
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF", "LEAF"],
        "nodes_values": [0.0] * 6,
        "nodes_truenodeids": [1, 0, 3, 0, 0, 0],
        "nodes_falsenodeids": [2, 0, 4, 0, 0, 0],
        "target_treeids": [0, 0, 0, 1],
        "target_nodeids": [1, 3, 4, 0],
        "target_ids": [0] * 4,
        "target_weights": [0.1, 0.2, 0.3, 0.4],
        "n_targets": 1,
    }
    node = helper.make_node(
        "TreeEnsembleRegressor", ["features"], ["probability"], domain="ai.onnx.ml", **deep
    )
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 1])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n", 1])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    content = helper.make_model(graph, ir_version=8, opset_imports=opsets).SerializeToString()

    assert operations(content) == (2 + 1) + (0 + 1)


points = st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=12)


@settings(deadline=None)
@given(points)
def test_every_point_is_on_the_front_or_beaten_by_one_that_is(drawn):
    on_front = non_dominated(drawn)
    front = [point for point, kept in zip(drawn, on_front, strict=True) if kept]

    assert front
    for point, kept in zip(drawn, on_front, strict=True):
        beaten = any(all(a <= b for a, b in zip(f, point, strict=True)) and f != point for f in front)
        assert kept != beaten


def test_a_front_by_hand():
    assert non_dominated([(1, 9), (2, 2), (3, 3), (9, 1), (2, 2)]) == [True, True, False, True, True]


def test_the_finalists_hold_the_chosen_one_each_kinds_first_and_the_highest():
    low = [tried("hgb", n, noisy(0.1, n)) for n in range(3)]
    high = [tried("mlp", n, noisy(0.6 + n / 50, n)) for n in range(12)]
    chosen = low[2].trial

    found = finalists([*low, given_up("hgb", 3), *high], chosen, np.zeros((1, 3), np.float32))

    named = {(f.kind, f.number) for f in found}
    assert {("hgb", 0), ("hgb", 2), ("mlp", 0)} <= named
    assert ("hgb", 1) not in named
    assert ("hgb", 3) not in named
    highest = sorted(high, key=lambda t: -t.pr_auc)[:8]
    assert {(t.trial.kind, t.trial.number) for t in highest} <= named
    assert [f.chosen for f in found] == [(f.kind, f.number) == ("hgb", 2) for f in found]


def test_no_clock_has_a_part_in_the_front():
    cheap, dear = tried("a", 0, noisy(0.5, 1), width=2), tried("b", 0, noisy(0.5, 1), width=64)
    slow = Tried(cheap.trial.model_copy(update={"fit_seconds": 1e9}), cheap.margins, cheap.graph)

    found = finalists([slow, dear], dear.trial, np.zeros((1, 3), np.float32))

    assert [f.on_front for f in found] == [True, False]


def test_a_latency_lies_within_its_interval():
    for found in latencies([network(2), network(300)], np.zeros((1, 3), np.float32)):
        assert 0 < found.low_us <= found.median_us <= found.high_us


def test_trials_above_a_limit_are_left_out_and_counted():
    wide = tried("mlp", 0, noisy(0.95, 1), width=200)
    narrow = tried("mlp", 1, noisy(0.5, 2), width=2)

    decision = choose([wide, narrow], Y, 1, preference=Preference(max_operations=100))

    assert decision.best == narrow.trial
    assert "1 trials above 100 operations" in decision.reason


def test_limits_that_none_keeps_are_refused_with_what_was_found():
    with pytest.raises(GateError, match="operations 19"):
        choose([tried("mlp", 0, noisy(0.5, 1), width=2)], Y, 1, preference=Preference(max_operations=5))


def test_cheapness_wins_when_it_is_worth_more_than_the_gap():
    big, small = tried("mlp", 0, noisy(0.7, 1), width=256), tried("mlp", 1, noisy(0.6, 2), width=2)
    assert choose([big, small], Y, 1).best == big.trial

    worth_nothing = choose([big, small], Y, 1, preference=Preference(halving_worth={"operations": 0.0}))
    worth_much = choose([big, small], Y, 1, preference=Preference(halving_worth={"operations": 5.0}))

    assert worth_nothing.best == big.trial
    assert worth_much.best == small.trial
    assert "halving operations = 5" in worth_much.reason


def test_a_bill_by_hand():
    """Equal quality: the bill is worth times halvings, and the cheaper one has none."""
    margins = noisy(0.6, 1)
    one, other = tried("a", 0, margins, visits=800), tried("b", 0, margins, visits=100)

    decision = choose([one, other], Y, 1, preference=Preference(halving_worth={"row_visits": 0.5}))

    assert decision.best == other.trial
    assert "the lowest bill, 0.00 standard errors" in decision.reason


def test_folds_are_resampled_apart():
    """Scores of two folds lie on different scales; pooled they would rank by fold."""
    first, second = noisy(0.7, 1), noisy(0.7, 2) + 100
    y, margins = np.concatenate([Y, Y]), np.concatenate([first, second])
    mean = float(pr_auc(Y, first) + pr_auc(Y, second)) / 2
    whole = tried("hgb", 0, first)
    trial = whole.trial.model_copy(update={"metrics": {"pr_auc": mean}})
    lucky = whole.trial.model_copy(update={"number": 1, "metrics": {"pr_auc": mean + 1e-4}})
    margins_lucky = margins + np.random.default_rng(0).normal(0, 0.01, len(margins))

    decision = choose([Tried(trial, margins), Tried(lucky, margins_lucky)], y, 1, folds=(len(Y), len(Y)))

    assert decision.best.number == 0


def test_nobody_pays_for_a_dearer_model():
    with pytest.raises(ValidationError, match="0 or more"):
        Preference(halving_worth={"bytes": -1})
