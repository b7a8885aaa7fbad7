"""What an evaluation says about rows: held against scikit-learn, Fairlearn and plain counting."""

import time

import numpy as np
import pytest
from fairlearn.metrics import (
    demographic_parity_difference,
    demographic_parity_ratio,
    equal_opportunity_difference,
    equalized_odds_difference,
    equalized_odds_ratio,
)
from sklearn import metrics

from modelway.contract import CostMatrix
from modelway.errors import ContractError
from modelway.evaluation import Evaluation, evaluate
from modelway.evaluation.record import METRICS


@pytest.fixture(scope="module")
def given(rows):
    return rows.make(champion_skill=0.5)


@pytest.fixture(scope="module")
def found(given):
    return evaluate(**given)


def test_metrics_agree_with_scikit_learn(given, found):
    y, scores = given["y"], given["scores"]
    flagged = scores >= given["threshold"]

    values = found.values()

    assert values["roc_auc"] == pytest.approx(metrics.roc_auc_score(y, scores))
    assert values["pr_auc"] == pytest.approx(metrics.average_precision_score(y, scores))
    assert values["log_loss"] == pytest.approx(metrics.log_loss(y, scores))
    assert values["brier"] == pytest.approx(metrics.brier_score_loss(y, scores))
    assert values["precision"] == pytest.approx(metrics.precision_score(y, flagged))
    assert values["recall"] == pytest.approx(metrics.recall_score(y, flagged))
    assert values["f1"] == pytest.approx(metrics.f1_score(y, flagged))
    assert values["base_rate"] == pytest.approx(y.mean())
    assert values["pr_auc_lift"] == pytest.approx(values["pr_auc"] / y.mean())


def test_confusion_and_cost_by_counting(given, found):
    y, flagged = given["y"], given["scores"] >= given["threshold"]
    matrix = metrics.confusion_matrix(y, flagged)

    counted = found.confusion
    assert [
        [counted.true_negatives, counted.false_positives],
        [counted.false_negatives, counted.true_positives],
    ] == matrix.tolist()
    cost = 4_000 * counted.false_positives + 30_000 * counted.false_negatives
    assert found.values()["cost_per_row"] == pytest.approx(cost / len(y))
    assert found.cost_per_row_if_none_flagged == pytest.approx(30_000 * y.mean())


def test_every_metric_has_an_interval_around_its_value(found):
    assert set(found.metrics) == set(METRICS)
    for name, estimate in found.metrics.items():
        assert estimate.low <= estimate.value <= estimate.high, name
        assert estimate.low < estimate.high, name


def test_fairness_differences_agree_with_fairlearn_over_the_judged_groups(given, found):
    y, flagged = given["y"], (given["scores"] >= given["threshold"]).astype(int)
    state, new = given["slices"]["state"], given["slices"]["new"]
    large = state != "TX"  # TX has too few rows to be judged

    by_state, by_new = found.slices

    assert by_state.demographic_parity_difference.value == pytest.approx(
        demographic_parity_difference(y[large], flagged[large], sensitive_features=state[large])
    )
    assert by_new.demographic_parity_difference.value == pytest.approx(
        demographic_parity_difference(y, flagged, sensitive_features=new)
    )
    assert by_new.equal_opportunity_difference.value == pytest.approx(
        equal_opportunity_difference(y, flagged, sensitive_features=new)
    )


@pytest.mark.parametrize(
    ("name", "by_fairlearn"),
    [
        ("demographic_parity_ratio", demographic_parity_ratio),
        ("equalized_odds_difference", equalized_odds_difference),
        ("equalized_odds_ratio", equalized_odds_ratio),
    ],
)
def test_ratios_and_equalised_odds_agree_with_fairlearn(given, found, name, by_fairlearn):
    y, flagged = given["y"], (given["scores"] >= given["threshold"]).astype(int)
    groups = given["slices"]["state"]
    judged = groups != "TX"

    ours = getattr(found.slices[0], name)

    theirs = by_fairlearn(y[judged], flagged[judged], sensitive_features=groups[judged])
    assert ours.value == pytest.approx(theirs)
    assert ours.low <= ours.value <= ours.high


def test_the_confusion_of_the_groups_adds_up_to_that_of_all_rows(found):
    for report in found.slices:
        for name, whole in found.confusion.model_dump().items():
            assert sum(getattr(group.confusion, name) for group in report.groups) == whole


def test_slices_list_every_group_and_judge_the_large_ones(given, found):
    by_state = found.slices[0]

    assert [group.name for group in by_state.groups] == ["CA", "NY", "TX"]
    assert [group.judged for group in by_state.groups] == [True, True, False]
    assert sum(group.rows for group in by_state.groups) == 2000
    ca = given["slices"]["state"] == "CA"
    expected = metrics.roc_auc_score(given["y"][ca], given["scores"][ca])
    assert by_state.groups[0].metric("roc_auc").value == pytest.approx(expected)
    small = by_state.groups[2]
    assert small.metric("roc_auc").value is None
    assert small.metric("base_rate").value == pytest.approx(small.positives / small.rows)


def test_a_group_without_enough_of_either_outcome_is_not_judged(rows):
    given = rows.make(400)
    given["slices"] = {"lucky": np.where(given["y"] == 1, "no", "yes")}

    (report,) = evaluate(**given).slices

    assert not report.judged
    assert report.demographic_parity_difference.value is None


def test_a_missing_value_is_a_group_of_its_own(rows):
    given = rows.make(400)
    given["slices"] = {"state": np.array([None, "CA"] * 200, dtype=object)}

    (report,) = evaluate(**given).slices

    assert {group.name: group.rows for group in report.groups} == {"(missing)": 200, "CA": 200}


def test_the_interval_of_one_group_does_not_depend_on_the_others(rows):
    given = rows.make()
    ca = given["slices"]["state"] == "CA"
    one = evaluate(**given).slices[0].groups[0]
    given["slices"] = {"state": np.where(ca, "CA", "elsewhere")}

    assert evaluate(**given).slices[0].groups[0] == one


def test_periods_are_months_and_hold_every_row(given, found):
    assert [period.name for period in found.over_time] == [f"2006-0{m}" for m in range(1, 7)]
    assert sum(period.rows for period in found.over_time) == 2000
    assert (found.first_time, found.last_time) == ("2006-01-01", "2006-06-29")
    january = given["times"] < np.datetime64("2006-02-01")
    assert found.over_time[0].positives == given["y"][january].sum()


@pytest.mark.parametrize(
    ("years", "first", "periods"), [(4, "2006 Q1", 16), (10, "2006", 10)], ids=["quarters", "years"]
)
def test_longer_spans_are_cut_into_longer_periods(rows, years, first, periods):
    given = rows.make(3000)
    days = np.linspace(0, years * 365, 3000).astype("timedelta64[D]")
    given["times"] = np.datetime64("2006-01-01") + days
    given["slices"] = None

    found = evaluate(**given).over_time

    assert found[0].name == first
    assert abs(len(found) - periods) <= 1


def test_the_comparison_is_paired_and_signed_towards_this_model(given, found):
    y, champion = given["y"], given["champion_scores"]
    comparison = found.comparison
    expected = metrics.roc_auc_score(y, given["scores"]) - metrics.roc_auc_score(y, champion)

    difference = comparison.difference["roc_auc"]

    assert difference.value == pytest.approx(expected)
    assert difference.low > 0
    assert comparison.champion["brier"].value == pytest.approx(metrics.brier_score_loss(y, champion))
    own, theirs = found.metric("roc_auc"), comparison.champion["roc_auc"]
    apart = (own.high - own.low) + (theirs.high - theirs.low)
    assert difference.high - difference.low < apart / 1.4  # unpaired it would be at least that wide


def test_a_model_against_itself_differs_by_exactly_nothing(rows):
    given = rows.make(500)
    found = evaluate(**given, champion_scores=given["scores"]).comparison

    assert all((d.value, d.low, d.high) == (0, 0, 0) for d in found.difference.values())


def test_the_curves_run_from_end_to_end_and_stay_short(found):
    for curve in (found.roc, found.pr, found.comparison.roc):
        assert 50 < len(curve.x) <= 202
        assert len(curve.x) == len(curve.y)
    assert (found.roc.x[0], found.roc.y[-1]) == (0, 1)
    assert found.pr.x[-1] == 1


def test_reliability_and_histogram_count_every_row(found):
    assert sum(row.rows for row in found.reliability) == 2000
    assert sum(found.histogram.negatives) + sum(found.histogram.positives) == 2000


def test_same_rows_and_seed_give_the_same_evaluation_and_it_survives_json(given, found):
    assert evaluate(**given) == found
    assert Evaluation.model_validate_json(found.model_dump_json()) == found
    assert "NaN" not in found.model_dump_json()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.1, 1.1])
def test_a_score_that_is_no_probability_is_a_finding_and_undefines_every_metric(rows, bad):
    given = rows.make(300, champion_skill=1.0)
    given["scores"] = given["scores"].copy()
    given["scores"][3] = bad

    found = evaluate(**given)

    assert found.invalid_scores == 1
    assert found.values() == {}
    assert found.comparison.difference == {}
    assert found.confusion is None


def test_a_champion_with_bad_scores_is_not_compared_but_the_model_is_measured(rows):
    given = rows.make(300, champion_skill=1.0)
    given["champion_scores"][:2] = np.nan

    found = evaluate(**given)

    assert found.comparison.invalid_scores == 2
    assert found.comparison.difference == {}
    assert found.metric("roc_auc").value is not None


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_leaves_the_ranking_undefined_and_the_rest_measured(rows, label):
    given = rows.make(300)
    given["y"] = np.full(300, label)

    found = evaluate(**given)

    assert found.metric("roc_auc").value is None
    assert found.metric("brier").value is not None
    assert found.roc.x == ()


def test_no_rows_at_all_leave_everything_undefined(rows):
    found = evaluate(**rows.make(0, champion_skill=1.0))

    assert (found.rows, found.values(), found.over_time, found.first_time) == (0, {}, (), None)


@pytest.mark.parametrize("what", ["scores", "champion_scores", "times", "slice"])
def test_arrays_of_another_length_are_refused_by_name(rows, what):
    given = rows.make(100, champion_skill=1.0)
    if what == "slice":
        given["slices"] = {"state": np.array(["CA"] * 99)}
    else:
        given[what] = given[what][:-1]

    with pytest.raises(ContractError, match=r"\(99,\)"):
        evaluate(**given)


def test_labels_other_than_0_and_1_are_refused(rows):
    given = rows.make(100)
    given["y"] = np.where(np.arange(100) < 2, 2, given["y"])

    with pytest.raises(ContractError, match="2 labels are neither 0 nor 1"):
        evaluate(**given)


def test_ten_thousand_rows_with_slices_and_champion_take_seconds_not_minutes(rows):
    given = rows.make(10_000, champion_skill=1.0) | {"resamples": 200}
    start = time.process_time()
    evaluate(**given)

    assert time.process_time() - start < 20  # 1.1 s of processor time measured; other processes cost caches


def test_costs_may_be_in_any_currency(rows):
    given = rows.make(300) | {"costs": CostMatrix(false_positive=0, false_negative=1, currency="EUR")}

    found = evaluate(**given)

    assert found.costs.currency == "EUR"
    assert found.metric("cost_per_row").value == pytest.approx(found.confusion.false_negatives / 300)
