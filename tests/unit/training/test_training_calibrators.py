"""The ways of calibrating, which of them is chosen, and the graph each becomes."""

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from pydantic import ValidationError
from sklearn.isotonic import IsotonicRegression

from modelway.bundle.signature import GRAPH_OUTPUT
from modelway.optimize.calibrator_graph import calibrator_graph
from modelway.optimize.graph import IR_VERSION, MARGIN, OPSET
from modelway.training.calibration import BetaCalibrator, Calibrator, IsotonicCalibrator, sigmoid, softplus
from modelway.training.calibrator_choice import choose_calibrator
from modelway.training.calibrator_fits import fit_method
from modelway.training.policy import SIMPLEST_FIRST

ROWS = 4000


def drawn(probability_of, rows=ROWS, seed=1):
    """Margins, and labels of the probability that the function gives them."""
    random = np.random.default_rng(seed)
    margins = random.normal(0, 2, rows)
    return margins, (random.random(rows) < probability_of(margins)).astype(np.int8)


def steps(margins):
    return np.select([margins < -1, margins < 1], [0.05, 0.3], 0.95)


TRUTHS = {
    "none": sigmoid,
    "temperature": lambda margins: sigmoid(0.4 * margins),
    "platt": lambda margins: sigmoid(0.5 * margins - 1.5),
    "beta": BetaCalibrator(low=0.2, high=2.5, intercept=-0.3).probabilities,
    "isotonic": steps,
}


@pytest.mark.parametrize("method", SIMPLEST_FIRST)
def test_each_way_wins_where_it_is_the_truth(method):
    margins, y = drawn(TRUTHS[method])

    choice = choose_calibrator(SIMPLEST_FIRST, margins, y, seed=3)

    assert choice.method == method, choice.reason
    assert set(choice.losses) == set(SIMPLEST_FIRST)


def test_the_choice_and_the_fit_do_not_depend_on_the_order_asked_in():
    margins, y = drawn(steps)

    assert choose_calibrator(SIMPLEST_FIRST[::-1], margins, y, 3) == choose_calibrator(
        SIMPLEST_FIRST, margins, y, 3
    )


def test_too_few_rows_of_a_class_compare_nothing_and_say_so():
    margins, y = drawn(sigmoid, rows=60)
    y[:] = 0
    y[:9] = 1

    choice = choose_calibrator(SIMPLEST_FIRST, margins, y, seed=3)

    assert choice.method == "platt"
    assert not choice.losses
    assert "9 rows" in choice.reason


def test_one_way_asked_for_is_not_compared():
    margins, y = drawn(steps, rows=200)

    assert choose_calibrator(["platt"], margins, y, seed=3).method == "platt"


def test_a_temperature_is_where_the_loss_is_flat():
    margins, y = drawn(TRUTHS["temperature"])
    slope = fit_method("temperature", margins, y).slope
    targets = np.where(y == 1, (y.sum() + 1) / (y.sum() + 2), 1 / (len(y) - y.sum() + 2))

    assert abs(np.mean(margins * (sigmoid(slope * margins) - targets))) < 1e-6


def test_beta_is_where_the_loss_is_flat_in_both_slopes():
    margins, y = drawn(TRUTHS["beta"])
    targets = np.where(y == 1, (y.sum() + 1) / (y.sum() + 2), 1 / (len(y) - y.sum() + 2))

    found = fit_method("beta", margins, y)

    missing = found.probabilities(margins) - targets
    assert abs(np.mean(np.log(sigmoid(margins)) * missing)) < 1e-6
    assert abs(np.mean(np.log(sigmoid(-margins)) * missing)) < 1e-6
    assert (found.low, found.high) == (pytest.approx(0.2, abs=0.1), pytest.approx(2.5, abs=0.3))


@pytest.mark.parametrize("seed", range(4))
def test_beta_leaves_out_the_end_that_would_turn_the_order_round(seed):
    """Flat below, rising above: of the two ends the lower one is in the way, so the upper one stays."""
    margins, y = drawn(lambda m: sigmoid(2.5 * softplus(m) + 0.6 * softplus(-m) - 2.5), seed=seed)

    found = fit_method("beta", margins, y)

    assert found.low == 0
    assert found.high > 1


@pytest.mark.parametrize("method", SIMPLEST_FIRST)
def test_scores_that_rank_the_wrong_way_are_never_turned_round(method):
    margins, y = drawn(lambda m: sigmoid(-m), rows=400)

    p = fit_method(method, margins, y).probabilities(np.sort(margins))

    assert (np.diff(p) >= 0).all()


def test_the_staircase_is_scikit_learns_on_the_rows():
    margins, y = drawn(steps, rows=500)
    margins = np.round(margins, 1)  # ties
    positives, negatives = y.sum(), len(y) - y.sum()
    targets = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    peer = IsotonicRegression().fit(margins, targets).predict(margins)

    np.testing.assert_allclose(fit_method("isotonic", margins, y).probabilities(margins), peer, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 30), st.integers(12, 80), st.sampled_from([1e-9, 1.0, 1e6]))
def test_any_staircase_rises_and_promises_neither_0_nor_1(seed, rows, scale):
    margins, y = drawn(sigmoid, rows=rows, seed=seed)
    y[:2] = 0, 1

    found = fit_method("isotonic", margins * scale, y)

    p = found.probabilities(np.sort(margins * scale))
    assert (np.diff(p) >= 0).all()
    assert 0 < p[0] <= p[-1] < 1


@pytest.mark.parametrize(
    ("edges", "levels"),
    [((0.0,), (0.5,)), ((1.0, 0.0), (0.1, 0.2, 0.3)), ((0.0,), (0.6, 0.5)), ((0.0,), (0.1, 1.5))],
)
def test_a_staircase_that_does_not_rise_is_refused(edges, levels):
    with pytest.raises(ValidationError):
        IsotonicCalibrator(edges=edges, levels=levels)


def test_a_beta_that_ignores_the_margin_is_refused():
    with pytest.raises(ValidationError):
        BetaCalibrator(low=0, high=0, intercept=1)


def graph_of(calibrator):
    part = calibrator_graph(calibrator)
    graph = helper.make_graph(
        list(part.nodes),
        "calibrator",
        [helper.make_tensor_value_info(MARGIN, 1, ["n", 1])],
        [helper.make_tensor_value_info(GRAPH_OUTPUT, 1, ["n"])],
        initializer=list(part.constants),
    )
    model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)])
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda margins: session.run(None, {MARGIN: margins.astype(np.float32)[:, None]})[0]


@pytest.mark.parametrize("method", SIMPLEST_FIRST)
@pytest.mark.parametrize("truth", ["temperature", "isotonic"])
def test_the_graph_is_the_same_function(method, truth):
    margins, y = drawn(TRUTHS[truth], rows=800)
    calibrator = fit_method(method, margins, y)
    edges = np.array(getattr(calibrator, "edges", ()))
    awkward = np.float32(
        [*margins, *edges, *np.nextafter(edges, -np.inf, dtype=np.float32), -88, 88, -1e30, 1e30]
    )

    found = graph_of(calibrator)(awkward)

    expected = calibrator.probabilities(awkward.astype(np.float64))
    np.testing.assert_allclose(found, expected, atol=0 if method == "isotonic" else 1e-6, rtol=1e-6)
    assert (np.diff(graph_of(calibrator)(np.sort(awkward))) >= -1e-7).all()
    assert np.isnan(graph_of(calibrator)(np.float32([np.nan]))).all()


def test_one_step_is_a_graph_too():
    flat = IsotonicCalibrator(edges=(), levels=(0.25,))

    assert graph_of(flat)(np.float32([-5, 0, 5])).tolist() == [0.25] * 3


def test_the_method_travels_with_the_numbers():
    line = Calibrator(method="temperature", slope=2.0, intercept=0.0)

    assert Calibrator.model_validate_json(line.model_dump_json()) == line
