import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from modelway.contract import Outcome
from modelway.optimize.export import to_onnx
from modelway.optimize.inspection import facts, latencies, sane
from modelway.optimize.parity import parity, probes
from modelway.optimize.scoring import Graph
from modelway.training.calibration import Calibrator
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import Recipe, Rows, ignore_epoch
from modelway.training.candidates.hgb import FittedHgb
from modelway.training.encoding import encode, known, labels, signature_from

CALIBRATOR = Calibrator(slope=1.0, intercept=0.0)
LIMIT = 1e-4


@pytest.fixture
def rows(make_loans):
    return make_loans(900, seed=1)


@pytest.fixture
def signature(use_case, rows):
    return signature_from(use_case, rows, 0.25)


@pytest.fixture
def model(signature, rows):
    params = {"max_iter": 20, "min_samples_leaf": 10}
    data = Rows(encode(rows, signature), labels(rows))
    return kind_named("hgb").fit(data, None, Recipe(signature.inputs, params, 7), ignore_epoch)


def native_of(model, signature):
    return lambda X: CALIBRATOR.probabilities(model.margins(known(X, signature.inputs)))


def test_a_faithful_graph_passes_on_every_probe(model, signature, rows):
    onnx = to_onnx(model, CALIBRATOR, signature.inputs)

    verdict = parity(native_of(model, signature), onnx, rows, signature, limit=LIMIT)

    assert verdict.passed, verdict.summary()
    # As it is; two numbers with 6 odd values, two categories with 7; every column missing.
    assert verdict.evidence["probes"] == 1 + 2 * 6 + 2 * 7 + 1
    assert len(verdict.evidence["worst_rows"]) == 5


def test_categorical_splits_exported_as_thresholds_fail_and_show_the_worst_rows(signature, rows):
    # What scikit-learn users do by default and skl2onnx exports without a word.
    X, y = encode(rows, signature), labels(rows)
    y = np.where(X[:, 2] == 1, 1, y).astype(np.int8)
    mask = [i.kind == "category" for i in signature.inputs]
    with threadpool_limits(limits=1):
        masked = FittedHgb(
            HistGradientBoostingClassifier(categorical_features=mask, random_state=0).fit(X, y)
        )

    onnx = to_onnx(masked, CALIBRATOR, signature.inputs)
    verdict = parity(native_of(masked, signature), onnx, rows, signature, limit=LIMIT)

    assert verdict.outcome is Outcome.FAIL
    failed = {reason.metric for reason in verdict.reasons if reason.outcome is Outcome.FAIL}
    assert failed == {"max_probability_difference", "flipped_decisions"}
    worst = verdict.evidence["worst_rows"]
    assert worst[0]["difference"] > 0.1
    assert [w["difference"] for w in worst] == sorted((w["difference"] for w in worst), reverse=True)
    assert set(worst[0]["row"]) == set(signature.names)


def test_without_rows_nobody_knows(model, signature, rows):
    onnx = to_onnx(model, CALIBRATOR, signature.inputs)

    verdict = parity(native_of(model, signature), onnx, rows.clear(), signature, limit=LIMIT)

    assert verdict.outcome is Outcome.INCONCLUSIVE


def test_a_native_model_that_answers_nan_fails(model, signature, rows):
    onnx = to_onnx(model, CALIBRATOR, signature.inputs)

    verdict = parity(lambda X: np.full(len(X), np.nan), onnx, rows, signature, limit=LIMIT)

    assert verdict.outcome is Outcome.FAIL
    assert verdict.evidence["worst_rows"][0]["difference"] == np.inf


def test_a_difference_that_shows_on_one_mutation_alone_is_found(model, signature, rows):
    onnx = to_onnx(model, CALIBRATOR, signature.inputs)
    faithful = native_of(model, signature)

    def blind_to_infinity(X):
        return np.where(np.isposinf(X[:, 0]), 0.0, faithful(X))

    verdict = parity(blind_to_infinity, onnx, rows, signature, limit=LIMIT)

    assert verdict.outcome is Outcome.FAIL
    assert {w["change"] for w in verdict.evidence["worst_rows"]} == {"amount_usd = inf"}


def test_probes_change_copies_and_name_the_change(signature, rows):
    X = encode(rows, signature)
    before = X.copy()

    changes = [probe.change for probe in probes(X, signature)]

    np.testing.assert_array_equal(X, before)
    assert changes[0] == "as it is"
    assert "state = -1" in changes
    assert len(set(changes)) == len(changes)


def test_a_good_graph_is_sane_and_a_graph_that_reads_unknown_codes_is_not(model, signature, rows):
    X = encode(rows, signature)
    assert sane(to_onnx(model, CALIBRATOR, signature.inputs), X, signature).passed

    # The same trees with the codes' check left out: an unknown code is then one more number.
    numbers = tuple(i.model_copy(update={"kind": "numeric", "vocabulary": ()}) for i in signature.inputs)
    verdict = sane(to_onnx(model, CALIBRATOR, numbers), X, signature)

    assert verdict.outcome is Outcome.FAIL
    assert [r.metric for r in verdict.reasons if r.outcome is Outcome.FAIL] == ["unknown_is_missing"]
    assert "state" in verdict.summary()


def test_a_graph_that_answers_nan_is_not_sane(model, signature, rows):
    nothing = Calibrator.model_construct(slope=float("nan"), intercept=0.0)

    verdict = sane(to_onnx(model, nothing, signature.inputs), encode(rows, signature), signature)

    assert "probabilities" in {r.metric for r in verdict.reasons if r.outcome is Outcome.FAIL}
    assert sane(b"", encode(rows.clear(), signature), signature).outcome is Outcome.INCONCLUSIVE


def test_facts_and_latency_are_measured(model, signature, rows):
    content = to_onnx(model, CALIBRATOR, signature.inputs)

    found = facts(content)
    timed = latencies(Graph(content), encode(rows, signature))

    assert found["bytes"] == len(content)
    assert found["inputs"] == {"features": ["n", 4]}
    assert found["outputs"] == {"probability": ["n"]}
    assert found["nodes"]["TreeEnsembleRegressor"] == 1
    assert [t["rows"] for t in timed] == [1, 100, 10_000]
    assert timed[1]["us_per_row"] < timed[0]["us_per_row"]
