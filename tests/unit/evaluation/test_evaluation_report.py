"""The report page: self-contained, whole, and safe whatever the data say."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from modelway.contract import Gates, Outcome, Verdict
from modelway.evaluation import evaluate, gates
from modelway.evaluation.page import banner, breakable, figure, page, section, table
from modelway.evaluation.plots import Axes, forest, ticks
from modelway.evaluation.report import render_report

VOID = {"meta", "line", "circle", "rect", "polyline", "br", "wbr"}


class Reader(HTMLParser):
    """Checks that tags close in order, and collects what a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.fetched += [
            f"{tag} {name}={value}" for name, value in attrs if name in {"src", "href", "srcset"}
        ]
        self.fetched += [tag] if tag in {"script", "link", "iframe", "img", "object"} else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def evaluation(rows):
    return evaluate(**rows.make(champion_skill=0.5))


def render(evaluation, limits=None):
    return render_report(
        evaluation,
        gates(evaluation, limits or Gates(min_slice_rows=150)),
        title="credit, version 3",
        lineage={"seed": 7},
    )


def test_the_page_is_whole_and_fetches_nothing(evaluation):
    html = render(evaluation)

    reader = read(html)
    assert reader.fetched == []
    assert "url(" not in html
    assert not re.search(r"https?://", html)
    assert "prefers-color-scheme:dark" in html
    assert 'name="viewport"' in html


def test_it_says_what_matters(evaluation):
    text = " ".join(read(render(evaluation)).text)

    assert "credit, version 3" in text
    assert "It kept every limit" in text
    assert evaluation.metric("roc_auc").text() in text
    assert "2,000 held-out rows from 2006-01-01 to 2006-06-29" in text
    assert "Against the champion" in text
    assert "this model" in text
    for group in ("CA", "NY", "TX"):
        assert group in text


def test_it_draws_every_figure(evaluation):
    html = render(evaluation)

    # roc, precision-recall, reliability, histogram, two of thresholds, two over time, two slices
    assert html.count("<svg") == 10
    assert html.count("aria-label=") == 10


def test_a_failed_verdict_comes_first_with_its_reason(evaluation):
    html = render(evaluation, Gates(min_roc_auc=0.99, min_slice_rows=150))

    assert 'class="banner fail"' in html
    assert html.index("below 0.99") < html.index("<svg")


def test_a_refused_export_shows_the_rows_it_was_refused_for(evaluation):
    worst = {
        "change": "state = -1",
        "row": {"state": None, "amount": 5.0},
        "native": 0.41,
        "difference": None,
    }
    verdict = Verdict(outcome=Outcome.FAIL, evidence={"worst_rows": [{**worst, "graph": float("nan")}]})

    html = render_report(evaluation, verdict, title="credit", lineage={})

    assert "Worst rows of the export" in html
    assert "state = -1" in html
    assert "0.41" in html
    assert "no number" in html


@pytest.mark.parametrize("case", ["no rows", "one class", "bad scores", "no slices and no times"])
def test_rows_that_define_little_still_give_a_page(rows, case):
    given = rows.make(0 if case == "no rows" else 300)
    if case == "one class":
        given["y"] = np.zeros(300)
    if case == "bad scores":
        given["scores"] = np.full(300, np.nan)
    if case == "no slices and no times":
        given |= {"slices": None, "times": None}

    html = render(evaluate(**given))

    read(html)
    assert "nan" not in html.lower().replace("dominant", "")


def test_group_names_from_the_data_cannot_become_markup(rows):
    given = rows.make(600)
    evil = "<script>alert(1)</script>"
    given["slices"] = {f"by {evil}": np.where(given["slices"]["new"] == "yes", evil, "plain")}

    html = render_report(
        evaluate(**given), Verdict.of(()), title=evil, lineage={evil: evil, "nested": {"a": evil}}
    )

    assert read(html).fetched == []
    assert "<script" not in html


def test_numbers_stay_inside_the_drawing(evaluation):
    html = render(evaluation)

    for name, most in (("x1", 360), ("x2", 360), ("cx", 360)):
        values = [float(v) for v in re.findall(rf' {name}="(-?[\d.]+)"', html)]
        assert values
        assert all(0 <= v <= most for v in values)


def test_same_evaluation_same_page(evaluation):
    assert render(evaluation) == render(evaluation)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.61, 0.83, [0.65, 0.7, 0.75, 0.8]),
        (0, 0.034, [0, 0.01, 0.02, 0.03]),
        (0, 0, [0]),
    ],
)
def test_ticks_are_round_numbers_inside_the_range(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_a_point_lies_where_the_axes_put_it():
    axes = Axes((0, 10), (0, 1), "x", "y")

    assert axes.at(0, 0) == (46, 210)
    assert axes.at(10, 1) == (348, 8)


def test_a_forest_of_one_exact_value_can_be_drawn():
    assert "<circle" in forest([("only", 0.5, 0.5, 0.5)], 0.5, "one")


def test_a_long_name_may_break_behind_dots_and_underscores():
    assert breakable("slice.new_<b>.roc") == "slice.<wbr>new_<wbr>&lt;b&gt;.<wbr>roc"


def test_pieces_escape_their_text():
    html = page("a < b", banner(Outcome.PASS, "x & y") + section("s <", "l >", table(("h <",), [("cell",)])))
    html += figure("f <", "<svg></svg>", "c <", key=("k <",))

    assert "a &lt; b" in html
    assert all(each not in html for each in ("x & y", "h <<", "s <<", "k <<", "c <<"))
