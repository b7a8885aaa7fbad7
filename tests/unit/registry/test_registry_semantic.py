"""Semantic versions: what counts as how much, and that a line of them only goes up."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.bundle.derived import Derived
from modelway.bundle.lineage import Lineage, Replay
from modelway.bundle.signature import Input, Signature
from modelway.registry.semantic import Identity, identity_of, next_semantic, successor

NUMBER, CATEGORY = (
    Input(name="amount", kind="numeric"),
    Input(name="state", kind="category", vocabulary=("CA",)),
)
SIGNATURE = Signature(
    model_name="credit", key="loan_id", label="lost", inputs=(NUMBER, CATEGORY), threshold=0.4
)
LINEAGE = Lineage(
    use_case="credit",
    snapshot_id="s1",
    as_of=datetime(2005, 1, 1, tzinfo=UTC),
    kind="hgb",
    params={"depth": 4},
    seed=7,
    git_commit="a",
    libraries={"numpy": "2.0"},
)


def after_1_4_2(signature: dict[str, Any] | None = None, lineage: dict[str, Any] | None = None) -> str:
    new = identity_of(SIGNATURE.model_copy(update=signature or {}), LINEAGE.model_copy(update=lineage or {}))
    return successor("1.4.2", identity_of(SIGNATURE, LINEAGE), new)


@pytest.mark.parametrize(
    "changed",
    [
        {"inputs": (NUMBER,)},
        {"inputs": (CATEGORY, NUMBER)},
        {"inputs": (NUMBER, Input(name="state", kind="numeric"))},
        {"key": "id"},
        {"label": "late"},
    ],
    ids=["fewer", "reordered", "retyped", "key", "label"],
)
def test_what_a_caller_must_follow_is_major(changed):
    assert after_1_4_2(changed) == "2.0.0"
    assert after_1_4_2(changed, {"snapshot_id": "s2"}) == "2.0.0"


@pytest.mark.parametrize(
    "changed",
    [
        {"snapshot_id": "s2"},
        {"as_of": datetime(2006, 1, 1, tzinfo=UTC)},
        {"kind": "mlp"},
        {"params": {"depth": 5}},
        {"seed": 8},
        {"training_set_sha256": "t"},
        {"calibrator": "isotonic"},
        {"replay": Replay(until=datetime(2004, 1, 1, tzinfo=UTC), window_months=12, share=0.5, seed=7)},
    ],
    ids=str,
)
def test_other_data_or_another_way_of_learning_is_minor(changed):
    assert after_1_4_2(None, changed) == "1.5.0"


@pytest.mark.parametrize("changed", [{}, {"git_commit": "b"}, {"libraries": {"numpy": "2.1"}}], ids=str)
def test_the_same_training_written_down_anew_is_a_patch(changed):
    assert after_1_4_2(None, changed) == "1.4.3"


def test_identities_that_the_audit_log_holds_are_those_of_this_version_too():
    """A field that a signature or lineage gets later must not look like another training of every model."""
    noted = identity_of(SIGNATURE, LINEAGE)

    assert noted.interface == "3ebead93f0a1c7ef370b9f085620dd5096df905e79b87dd97f37a2abd9426491"
    assert noted.origin == "ccb7198b5e2cd034b2dac047ef4b0a3e4bdebab0e36fb2243bb3621e21d9966e"


def test_what_is_learnt_of_the_inputs_breaks_no_caller():
    wider = Input(name="state", kind="category", vocabulary=("CA", "NY"))

    assert after_1_4_2({"inputs": (NUMBER, wider), "threshold": 0.3}, {"snapshot_id": "s2"}) == "1.5.0"


def test_the_first_is_1_0_0_and_the_next_follows_the_newest():
    here, there = Identity(interface="i", origin="o"), Identity(interface="i", origin="p")

    assert next_semantic([], here) == "1.0.0"
    assert next_semantic([("1.0.0", here), ("1.1.0", there)], here) == "1.2.0"


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz")), min_size=1, max_size=12))
def test_a_line_of_versions_only_goes_up_and_repeats_none(changes):
    line: list[tuple[str, Identity]] = []
    for interface, origin in changes:
        identity = Identity(interface=interface, origin=origin)
        line.append((next_semantic(line, identity), identity))

    numbers = [tuple(map(int, text.split("."))) for text, _ in line]
    assert numbers == sorted(set(numbers))


def test_what_the_graph_derives_is_no_callers_business_but_makes_another_model():
    numbers = {"inputs": (NUMBER, Input(name="staff", kind="numeric"))}
    ratio = Derived(name="each", how="ratio", of=("amount", "staff"))
    with_ratio, plain = (SIGNATURE.model_copy(update=numbers | {"derived": d}) for d in ((ratio,), ()))
    other = with_ratio.model_copy(update={"derived": (ratio.model_copy(update={"how": "product"}),)})
    told = ratio.model_copy(update={"description": "USD a head"})
    described = with_ratio.model_copy(update={"derived": (told,)})

    assert successor("1.4.2", identity_of(plain, LINEAGE), identity_of(with_ratio, LINEAGE)) == "1.5.0"
    assert successor("1.4.2", identity_of(with_ratio, LINEAGE), identity_of(other, LINEAGE)) == "1.5.0"
    assert successor("1.4.2", identity_of(with_ratio, LINEAGE), identity_of(described, LINEAGE)) == "1.4.3"
