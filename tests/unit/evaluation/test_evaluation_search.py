"""The report tells of the search, and of what a refit has forgotten."""

import json

import pytest
from test_evaluation_report import read

from modelway.contract import Gates, Outcome, Verdict
from modelway.evaluation import evaluate, gates
from modelway.evaluation.findings import Search
from modelway.evaluation.forgetting_section import forgetting_section
from modelway.evaluation.record import Evaluation
from modelway.evaluation.report import render_report
from modelway.evaluation.search_section import search_section
from modelway.evaluation.twin import report_json
from modelway.stats.bootstrap import Estimate
from modelway.training.artifacts import Finalist
from modelway.training.pareto import non_dominated

COUNTS = {
    # kind: PR-AUC, operations, bytes, row visits
    "logistic": (0.120, 80, 2_400, 9_000),
    "hgb": (0.140, 4_000, 90_500, 50_000),
    "mlp": (0.131, 9_000, 120_000, 60_000),
}


def finalists(chosen: str = "hgb") -> tuple[Finalist, ...]:
    front = non_dominated([(-quality, *costs) for quality, *costs in COUNTS.values()])
    return tuple(
        Finalist(
            kind=kind,
            number=0,
            pr_auc=quality,
            operations=operations,
            bytes=size,
            row_visits=visits,
            latency_us=8.25,
            latency_low_us=7.0,
            latency_high_us=1_009.5,
            fit_seconds=0.5,
            on_front=on_front,
            chosen=kind == chosen,
        )
        for (kind, (quality, operations, size, visits)), on_front in zip(COUNTS.items(), front, strict=True)
    )


SEARCH = Search(
    trials=12,
    finalists=finalists(),
    reason="hgb trial 0: PR-AUC 0.1400 on the validation rows, the highest of all trials",
    calibrator="beta",
    calibrator_reason="beta: log loss 0.31 & lowest",
)


@pytest.fixture(scope="module")
def evaluation(rows) -> Evaluation:
    return evaluate(**rows.make(400)).model_copy(update={"search": SEARCH})


def render(evaluation: Evaluation, verdict: Verdict) -> str:
    return render_report(evaluation, verdict, title="credit, version 3", lineage={})


def test_the_page_shows_who_competed_from_every_side_and_why_one_was_chosen(evaluation):
    page = render(evaluation, gates(evaluation, Gates(min_slice_rows=150)))

    text = " ".join(read(page).text)
    assert "12 trials, 3 of them looked at from every side" in text
    assert SEARCH.reason in text
    assert "beta: log loss 0.31 & lowest" in text
    for told in ("0.1400", "4,000", "90.5", "50,000", "8.2 [7.0, 1,009.5]", "0.50"):
        assert told in text, told
    assert "<b>hgb trial 0</b>" in page
    assert "chosen; nothing beats it" in text
    assert "beaten by hgb trial 0" in text


def test_who_is_said_to_be_beaten_is_who_is_not_on_the_front():
    page = search_section(SEARCH)

    beaten = [each for each in SEARCH.finalists if not each.on_front]
    assert page.count("beaten by") == len(beaten) == 1
    assert page.count('class="d2"') == len(beaten)
    assert page.count('class="d1"') == len(SEARCH.finalists) - len(beaten)


def test_finalists_that_lie_on_one_point_are_both_drawn_and_the_chosen_one_is_marked():
    cheap, dear = (
        each.model_copy(update={"number": number, "operations": 80, "pr_auc": 0.14, "row_visits": visits})
        for each, number, visits in zip(finalists()[1:2] * 2, (0, 1), (9_000, 50_000), strict=True)
    )
    dear = dear.model_copy(update={"on_front": False, "chosen": False})

    page = search_section(SEARCH.model_copy(update={"finalists": (cheap, dear)}))

    assert page.count('class="d1"') == page.count('class="d2"') == 1
    assert ">chosen</text>" in page


def test_one_finalist_is_listed_and_not_drawn():
    alone = SEARCH.model_copy(update={"finalists": finalists()[1:2]})

    assert "<svg" not in search_section(alone)
    assert "hgb trial 0" in search_section(alone)


def test_the_twin_holds_the_search_and_a_record_from_before_holds_none(evaluation):
    verdict = gates(evaluation, Gates(min_slice_rows=150))
    twin = json.loads(report_json(evaluation, verdict, title="credit, version 3", lineage={}))

    assert Search.model_validate(twin["evaluation"]["search"]) == SEARCH
    before = evaluation.model_dump(mode="json", exclude={"search"})
    assert "Which candidates competed" not in render(Evaluation.model_validate(before), verdict)


def difference(value: float) -> dict[str, float]:
    return Estimate(value=value, low=value - 0.01, high=value + 0.01).model_dump()


def test_the_page_shows_what_a_refit_has_forgotten_as_a_whole_and_in_time(evaluation):
    parts = [
        {
            "from": "2004-01-01",
            "to": "2004-06-30",
            "rows": 400,
            "positives": 9,
            "difference": difference(-0.041),
        },
        {
            "from": "2004-07-01",
            "to": "2004-12-31",
            "rows": 401,
            "positives": 8,
            "difference": difference(0.012),
        },
    ]
    found = {"rows": 801, "positives": 17, "difference": difference(-0.02), "slices": parts}
    found |= {"challenger": difference(0.70), "champion": difference(0.72)}

    text = " ".join(
        read(render(evaluation, Verdict(outcome=Outcome.FAIL, evidence={"forgetting": found}))).text
    )

    assert "What it has forgotten" in text
    for told in ("801", "-0.020 [-0.030, -0.010]", "2004-07-01 to 2004-12-31", "-0.041", "0.720"):
        assert told in text, told


def test_too_few_rows_show_their_number_and_a_fit_without_a_replay_nothing():
    few = forgetting_section({"rows": 40, "positives": 2})

    assert ">40<" in few
    assert "undefined" not in few
    assert forgetting_section(None) == ""
