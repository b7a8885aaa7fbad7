"""The model card: complete, true to its evaluation, and the same whenever it is written."""

from collections import Counter
from datetime import UTC, datetime
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from modelway.bundle.derived import Derived
from modelway.bundle.lineage import Lineage
from modelway.contract import CostMatrix, Gates, LabelRule, Outcome, Reason
from modelway.evaluation import evaluate, gates
from modelway.features.definitions import Feature, FeatureSet
from modelway.registry.card import model_card
from modelway.registry.card_page import card_page
from modelway.usecase import CardNotes

LINEAGE = Lineage(
    use_case="credit",
    snapshot_id="abc123",
    as_of=datetime(2005, 1, 1, tzinfo=UTC),
    kind="hgb",
    params={"max_depth": 4, "learning_rate": 0.1},
    seed=7,
    git_commit="deadbeef",
    training_rows=12_345,
)
USE_CASE = SimpleNamespace(
    name="credit",
    description="Will a small-business loan be charged off?",
    contract=SimpleNamespace(
        key="loan_id", version="1.0", forbidden=("term_months",), columns=(1, 2, 3), rules=(1,)
    ),
    label=LabelRule(
        name="charged_off", starts_at="disbursed_at", happened_at="charged_off_at", horizon_months=24
    ),
    features=FeatureSet(
        row=(Feature(name="employees"), Feature(name="usd"), Feature(name="industry", kind="category")),
        derived=(Derived(name="usd_each", how="ratio", of=("usd", "employees")),),
    ),
)


@pytest.fixture(scope="module")
def measured():
    random = np.random.default_rng(0)
    chance = random.random(800) ** 3
    return {
        "y": (random.random(800) < chance).astype(int),
        "scores": chance,
        "slices": {"state": np.where(random.random(800) < 0.5, "C|A", "NY")},
        "times": np.datetime64("2006-01-01") + random.integers(0, 90, 800).astype("timedelta64[D]"),
        "threshold": 0.25,
        "costs": CostMatrix(false_positive=4_000, false_negative=30_000),
        "seed": 1,
        "resamples": 40,
    }


def card(measured, **changed):
    found = evaluate(**measured | changed)
    return model_card(USE_CASE, LINEAGE, found, gates(found, Gates()))


def test_it_has_every_chapter_people_ask_for(measured):
    text = card(measured)

    chapters = [line for line in text.splitlines() if line.startswith("## ")]
    assert chapters == [
        "## Intended use",
        "## Out of scope",
        "## Data",
        "## Performance",
        "## Limits it was held to",
        "## Fairness",
        "## Known limits",
        "## Origin",
    ]
    for fact in (
        "abc123",
        "deadbeef",
        "12,345 rows",
        "loan_id",
        "24 months",
        "`term_months`",
        "30,000 USD",
        "0.2500",
    ):
        assert fact in text


def test_its_numbers_are_those_of_the_evaluation(measured):
    found = evaluate(**measured)
    text = model_card(USE_CASE, LINEAGE, found, gates(found, Gates()))

    for metric in ("roc_auc", "brier", "recall"):
        assert found.metric(metric).text() in text
    assert "800 later rows from 2006-01-01 to 2006-03-31" in text
    assert found.slices[0].demographic_parity_difference.text() in text


def test_rows_it_is_evaluated_on_are_not_called_learnt_from(measured):
    text = card(measured)
    assert "Trained on 12,345" not in text  # the lineage counts the whole training set, its test rows too
    assert "Made from 12,345 rows" in text
    assert "of them but those it is evaluated on" in text


def test_the_same_training_gives_the_same_card_whatever_is_in_production(measured):
    champion = np.full(800, 0.5)

    assert card(measured) == card(measured)
    assert card(measured, champion_scores=champion) == card(measured)


def test_a_broken_limit_stands_in_it(measured):
    found = evaluate(**measured)
    text = model_card(USE_CASE, LINEAGE, found, gates(found, Gates(min_roc_auc=0.999)))

    assert "| roc_auc | fail |" in text


def test_a_bar_in_a_name_does_not_break_the_table(measured):
    found = evaluate(**measured)
    verdict = gates(found, Gates())
    odd = Reason(metric="a|b", outcome=Outcome.PASS, message="x | y")

    text = model_card(USE_CASE, LINEAGE, found, verdict.model_copy(update={"reasons": (odd,)}))

    assert r"| a\|b | pass | x \| y |" in text


def test_without_slices_it_says_that_nothing_is_known_about_fairness(measured):
    assert "nothing is known about fairness" in card(measured, slices=None)


def test_undefined_metrics_are_called_so(measured):
    assert "| ROC-AUC | undefined |" in card(measured, scores=np.full(800, np.nan))


def test_a_label_that_is_a_value_is_described_as_one(measured):
    found = evaluate(**measured)
    use_case = SimpleNamespace(
        **vars(USE_CASE) | {"label": LabelRule(name="virginica", value="is_virginica")}
    )

    text = model_card(use_case, LINEAGE, found, gates(found, Gates()))

    assert "the value of `is_virginica`" in text
    assert "Outcomes take" not in text


def test_what_only_people_know_stands_in_it(measured):
    notes = CardNotes(
        intended_use=("Officers look closer.",), out_of_scope=("Consumers.",), limits=("Ends 2014.",)
    )
    found = evaluate(**measured)
    use_case = SimpleNamespace(**vars(USE_CASE) | {"card_notes": notes})

    text = model_card(use_case, LINEAGE, found, gates(found, Gates()))

    chapters = dict(part.split("\n", 1) for part in text.split("## ")[1:])
    assert "- Officers look closer." in chapters["Intended use"]
    assert "- Consumers." in chapters["Out of scope"]
    assert "- Ends 2014." in chapters["Known limits"]


def test_every_group_of_a_slice_is_shown_with_its_numbers(measured):
    found = evaluate(**measured)
    text = model_card(USE_CASE, LINEAGE, found, gates(found, Gates()))

    for group in found.slices[0].groups:
        name = group.name.replace("|", r"\|")
        auc = group.metric("roc_auc").value
        assert f"| state | {name} | {group.rows} | " in text
        assert f"{auc:.3f} |" in text


class Words(HTMLParser):
    """The visible text of a page, and how many of each tag it has."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.tags: Counter[str] = Counter()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags[tag] += 1

    def handle_data(self, data: str) -> None:
        self.text += data


def plain(line: str) -> str:
    """A line of Markdown without its marks."""
    if line.startswith("|---"):
        return ""
    cells = line.replace(r"\|", "\0").replace("|", " ").replace("\0", "|") if line.startswith("|") else line
    return cells.lstrip("#").removeprefix("- ").replace("`", "")


def test_the_page_says_the_same_words_in_the_same_order_as_the_markdown(measured):
    text = card(measured)
    read = Words()
    read.feed(card_page(text).split("<main>")[1])

    signs = str.maketrans("", "", "✓✗")
    assert "".join(read.text.translate(signs).split()) == "".join(
        "".join(plain(line) for line in text.splitlines()).split()
    )
    assert read.tags["h2"] == text.count("\n## ")
    assert read.tags["li"] == sum(line.startswith("- ") for line in text.splitlines())
    rules = sum(line.startswith("|---") for line in text.splitlines())
    assert read.tags["table"] == rules
    assert read.tags["tr"] == sum(line.startswith("|") for line in text.splitlines()) - rules


def test_nothing_in_a_card_becomes_markup(measured):
    found = evaluate(**measured)
    use_case = SimpleNamespace(**vars(USE_CASE) | {"description": "<script>alert(1)</script> & `<b>`"})

    html = card_page(model_card(use_case, LINEAGE, found, gates(found, Gates())))

    assert "<script" not in html
    assert "<code>&lt;b&gt;</code>" in html


def test_it_names_the_inputs_and_what_is_computed_from_them(measured):
    text = card(measured)

    assert "- Inputs: `employees`, `usd`, `industry`." in text
    assert "- Computed inside the model: `usd_each` = `usd / employees`." in text
