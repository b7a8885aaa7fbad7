"""Derived features: by hand, numpy against the graph to the bit, and through every kind of model."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from onnx import helper
from pydantic import ValidationError

from modelway.bundle.canonical import canonical_json
from modelway.bundle.derived import SIGNS, Derived
from modelway.bundle.signature import Input, Signature
from modelway.contract import Outcome
from modelway.features.definitions import Feature, FeatureSet
from modelway.features.derived import widened
from modelway.optimize.derived_graph import derived_graph
from modelway.optimize.export import to_onnx
from modelway.optimize.graph import IR_VERSION, KNOWN, OPSET
from modelway.optimize.parity import parity
from modelway.optimize.quantize import int8
from modelway.optimize.scoring import Graph
from modelway.optimize.trees import tensor_form
from modelway.training.calibration import Calibrator
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import Recipe, ignore_epoch
from modelway.training.encoding import encode, seen_by_model, signature_from
from modelway.training.final import rows_of

NAN, INF = np.nan, np.inf
LARGEST = float(np.finfo(np.float32).max)
TINY = 1e-45
"""The smallest float32 above zero, a denormal."""
INPUTS = tuple(Input(name=name, kind="numeric") for name in "abc")
DERIVED = (
    Derived(name="a_to_b", how="ratio", of=("a", "b")),
    Derived(name="c_to_a", how="ratio", of=("c", "a")),
    Derived(name="a_less_c", how="difference", of=("a", "c")),
    Derived(name="b_times_c", how="product", of=("b", "c")),
    Derived(name="a_and_b", how="sum", of=("a", "b")),
    Derived(name="b_to_b", how="ratio", of=("b", "b")),
)
CALIBRATOR = Calibrator(slope=0.8, intercept=-0.3)
SMALL = {"hgb": {"max_iter": 15, "min_samples_leaf": 10}, "mlp": {"epochs": 3, "batch_size": 64, "hidden": 8}}


def session_of(inputs, derived):
    """The derived part alone, with what it hands to the model as its output."""
    part = derived_graph(inputs, derived, "source")
    source = helper.make_tensor_value_info("source", 1, ["n", len(inputs)])
    known = helper.make_tensor_value_info(KNOWN, 1, ["n", len(inputs) + len(derived)])
    graph = helper.make_graph(part.nodes, "derived", [source], [known], initializer=part.constants)
    model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)])
    onnx.checker.check_model(model, full_check=True)
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


SESSION = session_of(INPUTS, DERIVED)


def bits(matrix):
    """float32 as they stand in memory, every NaN alike and every zero: `Where` takes a zero's sign away."""
    return (
        np.where(np.isnan(matrix), np.float32(NAN), matrix + np.float32(0)).astype(np.float32).view(np.uint32)
    )


@pytest.mark.parametrize(
    ("how", "a", "b", "expected"),
    [
        ("ratio", 12.5, 5.0, 2.5),
        ("ratio", 0.0, 5.0, 0.0),
        ("ratio", 5.0, 0.0, NAN),
        ("ratio", 5.0, -0.0, NAN),
        ("ratio", 0.0, 0.0, NAN),
        ("ratio", NAN, 5.0, NAN),
        ("ratio", 5.0, NAN, NAN),
        ("ratio", INF, 5.0, NAN),
        ("ratio", INF, INF, NAN),
        ("ratio", 5.0, INF, 0.0),
        ("ratio", LARGEST, 0.5, NAN),
        ("ratio", TINY, 1.0, TINY),
        ("ratio", 1.0, TINY, NAN),
        ("difference", 12.5, 5.0, 7.5),
        ("difference", INF, INF, NAN),
        ("difference", LARGEST, -LARGEST, NAN),
        ("sum", 12.5, 5.0, 17.5),
        ("sum", NAN, 5.0, NAN),
        ("product", 12.5, 5.0, 62.5),
        ("product", 0.0, INF, NAN),
        ("product", 2.0, LARGEST, NAN),
    ],
)
def test_by_hand_in_numpy_and_in_the_graph(how, a, b, expected):
    inputs = INPUTS[:2]
    derived = (Derived(name="d", how=how, of=("a", "b")),)
    row = np.array([[a, b]], dtype=np.float32)

    found = widened(row, inputs, derived)

    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array([[a, b, expected]], dtype=np.float32))
    np.testing.assert_array_equal(session_of(inputs, derived).run(None, {"source": row})[0], found)


@settings(max_examples=100, deadline=None)
@given(
    X=npst.arrays(
        np.float32,
        st.tuples(st.integers(1, 40), st.just(3)),
        elements=st.one_of(
            st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=True),
            st.sampled_from([NAN, INF, -INF, 0.0, -0.0, TINY, LARGEST, -LARGEST, 1.0, 3.0]),
        ),
    )
)
def test_numpy_and_the_graph_agree_to_the_bit_on_any_float32(X):
    found = SESSION.run(None, {"source": X})[0]

    np.testing.assert_array_equal(bits(found), bits(widened(X, INPUTS, DERIVED)))
    assert not np.isinf(found[:, 3:]).any()


def test_columns_come_in_the_order_of_their_definitions_whatever_shares_a_node():
    X = np.array([[6.0, 2.0, 3.0]], dtype=np.float32)

    assert SESSION.run(None, {"source": X})[0].tolist() == [[6, 2, 3, 3, 0.5, 3, 6, 8, 1]]


def test_without_definitions_nothing_is_added_or_copied():
    X = np.ones((2, 3), dtype=np.float32)

    assert widened(X, INPUTS, ()) is X


@pytest.fixture
def rows(make_loans):
    return make_loans(900, seed=1)


@pytest.fixture
def derived_case(use_case):
    use_case.features = FeatureSet(
        row=use_case.features.row,
        derived=(
            Derived(name="usd_each", how="ratio", of=("amount_usd", "staff")),
            Derived(name="usd_less", how="difference", of=("amount_usd", "staff")),
        ),
    )
    return use_case


def fitted(kind, signature, rows):
    recipe = Recipe(signature.columns, SMALL[kind], 7)
    return kind_named(kind).fit(rows_of(rows, signature), None, recipe, ignore_epoch)


@pytest.mark.parametrize("kind", SMALL)
def test_the_parity_gate_holds_on_missing_zero_extreme_and_unknown(kind, derived_case, rows):
    signature = signature_from(derived_case, rows, 0.25)
    model = fitted(kind, signature, rows)
    content = to_onnx(model, CALIBRATOR, signature.inputs, signature.derived)

    def native(X):
        return CALIBRATOR.probabilities(model.margins(seen_by_model(X, signature)))

    verdict = parity(native, content, rows, signature, limit=1e-5)

    assert verdict.passed, verdict.summary()
    assert Graph(content).features == len(signature.inputs) == 4
    # The model does look at them: with their nodes' operands made missing, answers change.
    blind = np.array(seen_by_model(encode(rows, signature), signature))
    blind[:, 4:] = NAN
    assert not np.allclose(
        model.margins(blind), model.margins(seen_by_model(encode(rows, signature), signature))
    )


def test_a_model_that_learnt_from_other_columns_than_the_graph_computes_fails_parity(derived_case, rows):
    signature = signature_from(derived_case, rows, 0.25)
    model = fitted("hgb", signature, rows)
    wrong = (Derived(name="usd_each", how="product", of=("amount_usd", "staff")), signature.derived[1])

    verdict = parity(
        lambda X: CALIBRATOR.probabilities(model.margins(seen_by_model(X, signature))),
        to_onnx(model, CALIBRATOR, signature.inputs, wrong),
        rows,
        signature,
        limit=1e-4,
    )

    assert verdict.outcome is Outcome.FAIL


def test_a_table_without_definitions_exports_to_the_bytes_it_had(use_case, rows):
    signature = signature_from(use_case, rows, 0.25)
    model = fitted("hgb", signature, rows)

    content = to_onnx(model, CALIBRATOR, signature.inputs)

    assert content == to_onnx(model, CALIBRATOR, signature.inputs, signature.derived)
    assert "Concat" not in {n.op_type for n in onnx.load_from_string(content).graph.node}


def test_the_other_forms_take_the_nodes(derived_case, rows):
    signature = signature_from(derived_case, rows, 0.25)
    X = encode(rows, signature)
    graphs = {
        kind: to_onnx(fitted(kind, signature, rows), CALIBRATOR, signature.inputs, signature.derived)
        for kind in SMALL
    }

    tensors = tensor_form(graphs["hgb"])

    assert tensors.parity.passed, tensors.parity.summary()
    np.testing.assert_allclose(
        Graph(tensors.content).probabilities(X), Graph(graphs["hgb"]).probabilities(X), atol=1e-5
    )
    quantised = int8(graphs["mlp"], X, limit=0.2)
    assert quantised.parity.passed, quantised.parity.summary()


def signature_with(*derived):
    inputs = (*INPUTS, Input(name="state", kind="category", vocabulary=("CA",)))
    return Signature(model_name="m", key="id", label="lost", inputs=inputs, threshold=0.5, derived=derived)


@pytest.mark.parametrize(
    ("derived", "found"),
    [
        ((Derived(name="d", how="ratio", of=("a", "bb")),), "'d' is computed from 'bb', which is no feature"),
        ((Derived(name="d", how="ratio", of=("a", "state")),), "'state', which is a category"),
        ((Derived(name="a", how="ratio", of=("a", "b")),), "'a' is a feature already"),
        ((Derived(name=" ", how="ratio", of=("a", "b")),), "one has no name"),
        ((DERIVED[0], DERIVED[0]), "'a_to_b' is defined twice"),
        (
            (DERIVED[0], Derived(name="d", how="sum", of=("a_to_b", "b"))),
            "'a_to_b', which is derived itself: write it over the features that one is made of",
        ),
    ],
)
def test_a_definition_over_anything_but_numeric_inputs_is_refused(derived, found):
    row = (*(Feature(name=name) for name in "abc"), Feature(name="state", kind="category"))
    for make in (lambda: signature_with(*derived), lambda: FeatureSet(row=row, derived=derived)):
        with pytest.raises(ValidationError, match="expected numeric features: a, b, c") as error:
            make()
        assert found in str(error.value)


@pytest.mark.parametrize("given", [{"how": "divide"}, {"of": ("a",)}, {"hwo": "ratio"}])
def test_a_misspelt_definition_does_not_load(given):
    with pytest.raises(ValidationError):
        Derived(**{"name": "d", "how": "ratio", "of": ("a", "b")} | given)


def test_a_signature_keeps_its_definitions_and_old_ones_stay_the_same_bytes():
    signature, plain = signature_with(*DERIVED), signature_with()

    again = Signature.model_validate_json(canonical_json(signature))

    assert again == signature
    assert [column.name for column in again.columns][4:] == [each.name for each in DERIVED]
    assert again.names == plain.names == ("a", "b", "c", "state")
    assert b"derived" not in canonical_json(plain)
    assert "derived" not in plain.model_dump_json()
    assert Signature.model_validate_json(canonical_json(plain)) == plain


def test_every_operation_is_known_to_people_numpy_and_the_graph():
    for how, sign in SIGNS.items():
        derived = (Derived(name="d", how=how, of=("a", "b")),)
        X = np.array([[6.0, 2.0, 0.0]], dtype=np.float32)
        assert derived[0].formula == f"a {sign} b"
        expected = eval(f"6.0 {sign} 2.0")  # noqa: S307 - our own text: the formula is held to what it says
        assert widened(X, INPUTS, derived)[0, 3] == expected
        assert session_of(INPUTS, derived).run(None, {"source": X})[0][0, 3] == expected
