import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from onnx import helper
from skl2onnx import to_onnx as skl_to_onnx

from modelway.bundle.signature import Input
from modelway.errors import ParityError
from modelway.optimize.export import to_onnx
from modelway.optimize.graph import GraphPart, node
from modelway.optimize.scoring import Graph
from modelway.training.calibration import Calibrator
from modelway.training.candidates import KINDS, kind_named
from modelway.training.candidates.base import Recipe, Rows, ignore_epoch
from modelway.training.encoding import encode, known, labels, signature_from

CALIBRATOR = Calibrator(slope=0.8, intercept=-0.3)
SMALL = {
    "hgb": {"max_iter": 15, "min_samples_leaf": 10},
    "mlp": {"epochs": 3, "batch_size": 64, "hidden": 16},
    "ft_transformer": {"epochs": 1, "batch_size": 256, "token": 8, "hidden": 8, "heads": 2},
    "logistic": {},
    "blend": {"max_iter": 15, "min_samples_leaf": 10},
    "lightgbm": {"num_iterations": 15, "min_data_in_leaf": 10},
    "xgboost": {"num_boost_round": 15, "min_child_weight": 2},
}
LIGHTGBM = pytest.mark.apt("libgomp1")
EVERY_KIND = [pytest.param(k, marks=LIGHTGBM) if k == "lightgbm" else k for k in KINDS]


class FakeLine:
    """A model whose margin is its only feature."""

    def graph(self):
        return GraphPart((node("Identity", ["known"], "margin"),))


@pytest.fixture
def rows(make_loans):
    return make_loans(900, seed=1)


@pytest.fixture(params=EVERY_KIND)
def exported(request, use_case, rows):
    signature = signature_from(use_case, rows, 0.25)
    data = Rows(encode(rows, signature), labels(rows))
    recipe = Recipe(signature.inputs, SMALL[request.param], 7)
    model = kind_named(request.param).fit(data, None, recipe, ignore_epoch)
    return model, signature, Graph(to_onnx(model, CALIBRATOR, signature.inputs)), data.X


def native(model, signature, X):
    return CALIBRATOR.probabilities(model.margins(known(X, signature.inputs)))


def test_the_calibrated_sigmoid_by_hand():
    graph = Graph(to_onnx(FakeLine(), CALIBRATOR, (Input(name="x", kind="numeric"),)))

    p = graph.probabilities(np.array([[0.0], [1.0], [-2.0]], dtype=np.float32))

    np.testing.assert_allclose(p, 1 / (1 + np.exp([0.3, -0.5, 1.9])), rtol=1e-6)
    assert p.shape == (3,)
    assert p.dtype == np.float32


def test_the_graph_answers_like_the_model(exported):
    model, signature, graph, X = exported

    np.testing.assert_allclose(graph.probabilities(X), native(model, signature, X), atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_it_answers_like_the_model_on_any_float32_row(data, exported_by_kind):
    model, signature, graph = exported_by_kind[data.draw(st.sampled_from(sorted(exported_by_kind)))]
    odd = st.one_of(
        st.floats(width=32, allow_nan=True, allow_infinity=True),
        st.sampled_from([np.nan, np.inf, -np.inf, -1.0, 0.0, 1.0, 2.0, 3.0, 0.5]),
    )
    X = data.draw(npst.arrays(np.float32, (5, 4), elements=odd))

    p = graph.probabilities(X)

    assert ((p >= 0) & (p <= 1)).all()
    np.testing.assert_allclose(p, native(model, signature, X), atol=1e-5)


@pytest.fixture(scope="module")
def exported_by_kind():
    rng = np.random.default_rng(0)
    X = np.column_stack(
        [rng.lognormal(8, 3, 600), rng.normal(size=600), rng.integers(0, 3, 600), rng.integers(0, 2, 600)]
    )
    X = X.astype(np.float32)
    X[rng.random(X.shape) < 0.1] = np.nan
    y = (rng.random(600) < 0.2 + 0.5 * (X[:, 2] == 1)).astype(np.int8)
    inputs = (
        Input(name="a", kind="numeric"),
        Input(name="b", kind="numeric"),
        Input(name="c", kind="category", vocabulary=("p", "q", "r")),
        Input(name="d", kind="category", vocabulary=("s", "t")),
    )

    class Signed:
        pass

    found = {}
    for kind in KINDS:
        model = kind_named(kind).fit(Rows(X, y), None, Recipe(inputs, SMALL[kind], 1), ignore_epoch)
        signed = Signed()
        signed.inputs = inputs
        found[kind] = (model, signed, Graph(to_onnx(model, CALIBRATOR, inputs)))
    return found


def test_trees_agree_with_skl2onnx_the_other_exporter(use_case, rows):
    signature = signature_from(use_case, rows, 0.25)
    X = encode(rows, signature)
    model = kind_named("hgb").fit(
        Rows(X, labels(rows)), None, Recipe(signature.inputs, SMALL["hgb"], 7), ignore_epoch
    )
    peer = skl_to_onnx(model.model, X[:1], options={"zipmap": False}, target_opset={"": 18, "ai.onnx.ml": 3})
    session = ort.InferenceSession(peer.SerializeToString(), providers=["CPUExecutionProvider"])

    ours = Graph(to_onnx(model, Calibrator(slope=1, intercept=0), signature.inputs)).probabilities(X)

    np.testing.assert_allclose(ours, session.run(None, {"X": X})[1][:, 1], atol=1e-6)


def test_a_split_between_neighbouring_float32_values_stays_between_them():
    low = np.float32(1.0000001)
    high = np.nextafter(low, np.float32(2))
    X = np.repeat([[low], [high]], 200, axis=0).astype(np.float32)
    y = np.repeat([0, 1], 200).astype(np.int8)
    inputs = (Input(name="x", kind="numeric"),)
    params = {"max_iter": 20, "min_samples_leaf": 5, "max_features": 1.0}
    model = kind_named("hgb").fit(Rows(X, y), None, Recipe(inputs, params, 1), ignore_epoch)

    below, above = Graph(to_onnx(model, Calibrator(slope=1, intercept=0), inputs)).probabilities(X[[0, -1]])

    assert below < 0.5 < above


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_numbers_alone_and_categories_alone_are_models_too(kind, use_case, rows):
    signature = signature_from(use_case, rows, 0.25)
    X, y = encode(rows, signature), labels(rows)
    for columns in ([0, 1], [2, 3]):
        inputs = tuple(signature.inputs[i] for i in columns)
        part = np.ascontiguousarray(X[:, columns])
        model = kind_named(kind).fit(Rows(part, y), None, Recipe(inputs, SMALL[kind], 7), ignore_epoch)
        graph = Graph(to_onnx(model, CALIBRATOR, inputs))
        np.testing.assert_allclose(
            graph.probabilities(part), CALIBRATOR.probabilities(model.margins(part)), atol=1e-6
        )


def test_operator_sets_are_fixed_and_the_names_are_the_contract(exported):
    model, signature, _, _ = exported
    proto = onnx.load_from_string(to_onnx(model, CALIBRATOR, signature.inputs))

    assert {o.domain: o.version for o in proto.opset_import} == {"": 18, "ai.onnx.ml": 3}
    assert [i.name for i in proto.graph.input] == ["features"]
    assert [o.name for o in proto.graph.output] == ["probability"]
    assert not proto.metadata_props


def test_parts_that_do_not_meet_are_no_graph():
    class FakeBroken:
        def graph(self):
            return GraphPart((node("Identity", ["nowhere"], "margin"),))

    with pytest.raises(ParityError, match="not valid ONNX"):
        to_onnx(FakeBroken(), CALIBRATOR, (Input(name="x", kind="numeric"),))


def test_bytes_that_are_no_graph_and_graphs_with_other_names_are_refused():
    with pytest.raises(ParityError, match="no graph that can run"):
        Graph(b"not onnx")

    value = [helper.make_tensor_value_info(n, 1, ["n", 1]) for n in ("x", "y")]
    other = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", value[:1], value[1:])
    content = helper.make_model(
        other, ir_version=8, opset_imports=[helper.make_opsetid("", 18)]
    ).SerializeToString()
    with pytest.raises(ParityError, match=r"takes \['x'\]"):
        Graph(content)
