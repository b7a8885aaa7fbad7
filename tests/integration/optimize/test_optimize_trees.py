import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_trees import ROWS, WIDTH, classifier, regressor, trees

from modelway.contract import Outcome
from modelway.errors import UnsupportedGraphError
from modelway.optimize.export import to_onnx
from modelway.optimize.forest import read_forest
from modelway.optimize.trees import boundary_rows, choose, converted, tensor_form, tree_nodes
from modelway.training.calibration import Calibrator
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import Recipe, Rows, ignore_epoch
from modelway.training.encoding import encode, labels, signature_from

FORMS = ("gemm", "traversal")
HAND = (0, "BRANCH_LEQ", 1.0, True, 5, (1, "BRANCH_LEQ", -0.5, False, 7, 9))
"""x0 <= 1 or missing: 5. Else x1 <= -0.5: 7, above or missing: 9."""


def rewired(true, false):
    return regressor([HAND], nodes_truenodeids=true, nodes_falsenodeids=false)


def answers(content, X):
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {"features": X})


def one_tree(*columns):
    return np.array([columns], np.float32)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param((1.0, 9.0, 0.0), 5.5, id="equal-to-the-threshold-goes-to-the-true-side"),
        pytest.param((np.nan, 9.0, 0.0), 5.5, id="missing-goes-where-it-is-tracked"),
        pytest.param((np.nextafter(np.float32(1), np.float32(2)), -0.5, 0.0), 7.5, id="just-above"),
        pytest.param((2.0, np.nan, 0.0), 9.5, id="missing-untracked-goes-to-the-false-side"),
        pytest.param((np.inf, -np.inf, np.nan), 7.5, id="infinities-and-a-column-nobody-asks-about"),
    ],
)
def test_one_tree_by_hand(form, row, expected):
    changed = converted(regressor([HAND]), form)

    assert answers(changed, one_tree(*row))[0].tolist() == [[expected]]


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=80, deadline=None)
@given(
    forest=st.lists(trees(), min_size=1, max_size=4),
    X=ROWS,
    targets=st.integers(1, 3),
    aggregate=st.sampled_from(["SUM", "AVERAGE"]),
)
def test_any_ensemble_takes_the_same_leaves_as_onnx_runtimes_own_node(form, forest, X, targets, aggregate):
    original = regressor(forest, targets, aggregate=aggregate)

    changed = converted(original, form)

    # Whole weights: sums of float32 are exact in any order, so one wrong leaf shows.
    exact = {"rtol": 0, "atol": 0 if aggregate == "SUM" else 1e-5}
    np.testing.assert_allclose(answers(changed, X)[0], answers(original, X)[0], **exact)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=60, deadline=None)
@given(
    forest=st.lists(trees(modes=("BRANCH_LEQ", "BRANCH_GT")), min_size=3, max_size=4),
    X=ROWS,
    classes=st.integers(3, 4),
    after=st.sampled_from(["NONE", "LOGISTIC", "SOFTMAX"]),
)
def test_any_classifier_gives_the_same_labels_and_scores(form, forest, X, classes, after):
    original = classifier(forest, classes, after)

    label, scores = answers(converted(original, form), X)
    its_label, its_scores = answers(original, X)

    np.testing.assert_allclose(scores, its_scores, atol=1e-5)
    ordered = np.sort(its_scores, axis=1)
    clear = (ordered[:, -1] - ordered[:, -2]) > 1e-4  # a tie may fall either way
    assert (label == its_label)[clear].all()


@pytest.mark.parametrize("form", FORMS)
def test_our_exported_trees_keep_their_answers_and_need_only_standard_operators(form, use_case, make_loans):
    content, X = boosted(use_case, make_loans(900, seed=1))

    made = tensor_form(content, form)

    model = onnx.load_from_string(made.content)
    assert made.parity.outcome is Outcome.PASS
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
    assert {n.domain for n in model.graph.node} == {""}
    np.testing.assert_allclose(answers(made.content, X)[0], answers(content, X)[0], atol=1e-6)


def test_the_same_graph_gives_the_same_bytes(use_case, make_loans):
    content, _ = boosted(use_case, make_loans(900, seed=1))

    assert tensor_form(content).content == tensor_form(content).content


def test_the_gate_sees_one_threshold_moved_by_one_float(use_case, make_loans):
    from modelway.optimize.same import same_answers  # noqa: PLC0415 - this test alone breaks a graph

    content, _ = boosted(use_case, make_loans(900, seed=1))
    model = onnx.load_from_string(tensor_form(content, "traversal").content)
    (roots,) = (i for i in model.graph.initializer if i.name == "tree_root_thresholds")
    moved = np.nextafter(onnx.numpy_helper.to_array(roots), np.float32(np.inf))
    roots.CopyFrom(onnx.numpy_helper.from_array(moved, roots.name))
    rows = boundary_rows(read_forest(tree_nodes(content)[0]), 4, 2_000)

    verdict = same_answers(content, model.SerializeToString(), rows, limit=1e-5)

    assert verdict.outcome is Outcome.FAIL
    assert verdict.reasons[0].metric == "max_probability_difference"


def test_no_rows_prove_nothing():
    from modelway.optimize.same import same_answers  # noqa: PLC0415 - as above

    graph = regressor([HAND])

    assert (
        same_answers(graph, graph, np.zeros((0, WIDTH), np.float32), limit=1).outcome is Outcome.INCONCLUSIVE
    )


def test_small_trees_are_multiplied_and_large_ones_walked():
    chain = 1
    for _ in range(40):
        chain = (0, "BRANCH_LEQ", 1.0, True, chain, 2)
    small, large = (read_forest(tree_nodes(regressor([tree]))[0]) for tree in (HAND, chain))

    assert choose(small)[0] == "gemm"
    assert "3 leaves" in choose(small)[1]
    assert choose(large) == (
        "traversal",
        "1 trees, at most 41 leaves and 40 levels: above 32 leaves a walk costs less than products",
    )


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        pytest.param(regressor([(0, "BRANCH_EQ", 1.0, True, 5, 6)]), "branches by BRANCH_EQ", id="equality"),
        pytest.param(regressor([HAND], aggregate="MAX"), "aggregates by MAX", id="maximum"),
        pytest.param(regressor([HAND], post_transform="SOFTMAX"), "ends in SOFTMAX", id="after"),
        pytest.param(regressor([(0, "BRANCH_LEQ", np.nan, True, 5, 6)]), "compares with nan", id="nan"),
        pytest.param(rewired([1, 0, 3, 0, 0], [2, 0, 3, 0, 0]), "2 roots in tree 0", id="two-roots"),
        pytest.param(rewired([3, 0, 0, 0, 0], [2, 0, 1, 0, 0]), "that nothing leads to", id="a-circle"),
        pytest.param(
            regressor([HAND], nodes_truenodeids=[99, 0, 0, 0, 0]), "does not have", id="a-node-of-no-tree"
        ),
        pytest.param(classifier([5], 2), "tells two classes apart", id="two-classes"),
    ],
)
def test_what_has_no_such_form_is_named(graph, says):
    with pytest.raises(UnsupportedGraphError, match=says) as caught:
        converted(graph)

    assert "'trees'" in caught.value.found
    assert "ONNX Runtime" in caught.value.remedy


def test_a_graph_without_trees_is_refused():
    node = onnx.helper.make_node("Identity", ["features"], ["probability"], "same")
    graph = onnx.helper.make_graph(
        [node],
        "none",
        [onnx.helper.make_tensor_value_info("features", 1, ["n", 1])],
        [onnx.helper.make_tensor_value_info("probability", 1, ["n", 1])],
    )

    with pytest.raises(UnsupportedGraphError, match="0 tree ensembles"):
        tensor_form(onnx.helper.make_model(graph).SerializeToString())


def boosted(use_case, rows):
    signature = signature_from(use_case, rows, 0.25)
    X = encode(rows, signature)
    recipe = Recipe(signature.inputs, {"max_iter": 15, "min_samples_leaf": 10}, 7)
    model = kind_named("hgb").fit(Rows(X, labels(rows)), None, recipe, ignore_epoch)
    return to_onnx(model, Calibrator(slope=0.8, intercept=-0.3), signature.inputs), X
