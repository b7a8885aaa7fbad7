"""The sections of the page that look at the model itself."""

import re
from dataclasses import replace

import numpy as np
import pytest

from modelway.bundle.signature import Input
from modelway.contract import Gates
from modelway.evaluation import evaluate, gates
from modelway.evaluation.closer_report import closer_sections
from modelway.evaluation.errors_report import error_report
from modelway.evaluation.explanation import explanation
from modelway.evaluation.plots import Axes
from modelway.evaluation.report import render_report
from modelway.evaluation.robustness import robustness
from modelway.evaluation.unfamiliar import unfamiliarity


def looked_at(subject, rows):
    return evaluate(**rows.make()).model_copy(
        update={
            "robustness": robustness(subject),
            "explanation": explanation(subject),
            "errors": error_report(subject),
            "unfamiliarity": unfamiliarity(subject),
        }
    )


@pytest.fixture(scope="module")
def evaluation(subject, rows):
    return looked_at(subject, rows)


def render(evaluation) -> str:
    verdict = gates(evaluation, Gates(min_slice_rows=150))
    return render_report(evaluation, verdict, title="credit, version 3", lineage={})


def test_the_page_has_a_section_for_each_look_and_draws_it(evaluation):
    html = render(evaluation)

    for title in (
        "Why it answers as it does",
        "Where it is wrong",
        "When inputs are wrong",
        "Rows unlike the training rows",
    ):
        assert f"<h2>{title}</h2>" in html
    assert html.count("<svg") == 13  # ten as without them, and three


def test_what_was_not_looked_at_has_no_section(rows):
    assert list(closer_sections(evaluate(**rows.make()))) == []


def test_the_page_says_the_numbers_of_the_record(evaluation):
    html = render(evaluation)

    assert evaluation.thresholds.saving.text(2) in html
    assert f"{evaluation.explanation.base:.2%}" in html
    assert evaluation.errors.hard_rows[0].key in html
    assert evaluation.errors.groups[0].words in html
    assert evaluation.robustness.disturbances[0].roc_auc_change.text() in html
    assert evaluation.unfamiliarity.shifts[0].roc_auc.text() in html
    assert "Models measured on these rows so far: 1." in html


def test_every_group_shows_its_decisions(evaluation):
    html = render(evaluation)

    for group in evaluation.slices[0].groups:
        assert f"<td >{group.name}</td>" in html
    assert html.count("rightly left") == len(evaluation.slices)


def test_names_of_inputs_keys_and_values_cannot_become_markup(subject, rows):
    evil = "<script>alert(1)</script>"
    inputs = (
        Input(name=evil, kind="numeric"),
        *subject.inputs[1:3],
        Input(name="state", kind="category", vocabulary=(evil, "NY", "TX")),
    )
    keys = (evil,) * len(subject.keys)

    html = render(looked_at(replace(subject, inputs=inputs, keys=keys), rows))

    assert "<script" not in html
    assert "&lt;script" in html


def test_numbers_stay_inside_the_drawings(evaluation):
    html = render(evaluation)

    for points in re.findall(r'<poly(?:gon|line)[^>]* points="([^"]+)"', html):
        values = np.array([pair.split(",") for pair in points.split()], dtype=float)
        assert (values >= 0).all()
        assert (values[:, 0] <= 360).all()
        assert (values[:, 1] <= 250).all()


def test_a_band_runs_along_the_top_and_back_along_the_bottom():
    axes = Axes((0, 1), (0, 1), "x", "y")

    band = axes.band([(0, 0.0, 0.5), (1, 0.0, 1.0)])

    assert band == '<polygon class="band" points="46.0,109.0 348.0,8.0 348.0,210.0 46.0,210.0"/>'
    assert axes.band([]) == ""


def test_an_evaluation_written_before_these_looks_is_still_read(evaluation):
    added = {"thresholds", "robustness", "explanation", "errors", "unfamiliarity", "test_openings"}
    old = evaluation.model_dump(mode="json", exclude=added)
    for report in old["slices"]:
        for name in ("demographic_parity_ratio", "equalized_odds_difference", "equalized_odds_ratio"):
            del report[name]
        for group in report["groups"]:
            del group["confusion"]

    read = type(evaluation).model_validate(old)

    assert read.metrics == evaluation.metrics
    assert read.explanation is None
    assert "Why it answers" not in render(read)


def test_an_evaluation_survives_json(evaluation):
    assert type(evaluation).model_validate_json(evaluation.model_dump_json()) == evaluation
