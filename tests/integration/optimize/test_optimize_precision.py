import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from random_trees import regressor

from modelway.contract import Outcome
from modelway.errors import ConfigError, UnsupportedGraphError
from modelway.optimize.export import to_onnx
from modelway.optimize.precision import products_in
from modelway.optimize.quantize import int8
from modelway.optimize.same import same_answers
from modelway.optimize.trees import converted
from modelway.training.calibration import Calibrator
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import Recipe, Rows, ignore_epoch
from modelway.training.encoding import encode, labels, signature_from

STUMP = (0, "BRANCH_LEQ", 1.0, True, 5, 6)


def product(weight):
    """probability = features @ [[weight]]"""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["features", "w"], ["probability"], "product")],
        "product",
        [helper.make_tensor_value_info("features", 1, ["n", 1])],
        [helper.make_tensor_value_info("probability", 1, ["n", 1])],
        initializer=[numpy_helper.from_array(np.array([[weight]], np.float32), "w")],
    )
    return helper.make_model(
        graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)]
    ).SerializeToString()


@pytest.fixture
def network(use_case, make_loans):
    rows = make_loans(900, seed=1)
    signature = signature_from(use_case, rows, 0.25)
    X = encode(rows, signature)
    recipe = Recipe(signature.inputs, {"epochs": 3, "batch_size": 64, "hidden": 16}, 7)
    model = kind_named("mlp").fit(Rows(X, labels(rows)), None, recipe, ignore_epoch)
    return to_onnx(model, Calibrator(slope=0.8, intercept=-0.3), signature.inputs), X


@pytest.mark.parametrize(
    ("half", "expected"),
    [
        # 0.1 in 11 bits is 0.0999755859375; in 8 bits 0.10009765625
        pytest.param("fp16", 0.0999755859375, id="fp16"),
        pytest.param("bf16", 0.10009765625, id="bf16"),
    ],
)
def test_a_weight_is_rounded_to_the_format_by_hand(half, expected):
    changed = ReferenceEvaluator(onnx.load_from_string(products_in(product(0.1), half)))

    (answer,) = changed.run(None, {"features": np.ones((1, 1), np.float32)})

    assert answer.dtype == np.float32
    assert float(answer[0, 0]) == expected


def test_half_precision_keeps_a_networks_answers_to_a_thousandth_and_its_inputs_in_float32(network):
    content, X = network

    changed = products_in(content, "fp16")

    nodes = {n.name: n for n in onnx.load_from_string(changed).graph.node}
    assert same_answers(content, changed, X, limit=1e-3).outcome is Outcome.PASS
    assert "weight_0" not in {c.name for c in onnx.load_from_string(changed).graph.initializer}
    assert [n.input[0] for n in nodes.values() if n.op_type == "Log"] == ["size_1"]


def test_the_gemm_form_of_trees_is_exact_in_half_precision():
    content = regressor([STUMP, (1, "BRANCH_LEQ", 0.0, False, 1, STUMP)])
    X = np.array([[1, 0, 0], [2, np.nan, 0], [np.nan, 3, 0]], np.float32)
    changed = onnx.load_from_string(products_in(converted(content, "gemm"), "fp16"))

    (answer,) = ReferenceEvaluator(changed).run(None, {"features": X})

    assert answer.ravel().tolist() == [5 + 1 + 0.5 * 1, 6 + 6 + 0.5, 5 + 5 + 0.5]


def test_what_gains_nothing_or_overflows_is_refused():
    with pytest.raises(UnsupportedGraphError, match="no matrix product"):
        products_in(converted(regressor([STUMP]), "traversal"), "fp16")
    with pytest.raises(UnsupportedGraphError, match="'w' holds 7e\\+04"):
        products_in(product(70_000.0), "fp16")
    assert products_in(product(70_000.0), "bf16")


def test_int8_is_made_from_half_of_the_rows_and_judged_on_the_other(network):
    content, X = network

    strict, loose = int8(content, X, limit=1e-6), int8(content, X, limit=0.05)

    operators = {n.op_type for n in onnx.load_from_string(strict.content).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators
    assert strict.parity.outcome is Outcome.FAIL
    assert loose.parity.outcome is Outcome.PASS
    assert strict.content == loose.content
    assert (strict.calibration_rows, loose.parity.reasons[0].samples) == (450, 450)


def test_int8_refuses_rows_and_graphs_that_give_it_nothing_to_measure(network):
    content, X = network
    missing = np.full_like(X[:40], np.nan)
    gaps = np.ones((40, 1), np.float32)
    gaps[0] = np.nan

    with pytest.raises(ConfigError, match="all values of the 20 rows"):
        int8(content, missing, limit=1)
    with pytest.raises(UnsupportedGraphError, match="no number on some of 20 rows"):
        int8(product(1.0), gaps, limit=1)


def test_int8_refuses_trees_what_is_in_int8_and_a_single_row(network):
    content, X = network
    quantised = int8(content, X, limit=1).content

    with pytest.raises(UnsupportedGraphError, match="no matrix product to quantise"):
        int8(regressor([STUMP]), X, limit=1)
    with pytest.raises(UnsupportedGraphError, match="quantised already"):
        int8(quantised, X, limit=1)
    with pytest.raises(ConfigError, match="1 rows"):
        int8(content, X[:1], limit=1)
