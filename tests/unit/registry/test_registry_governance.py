"""The rules for production, one by one: each refuses on its own, and only on its own ground."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from modelway.contract import Outcome, Reason, Verdict
from modelway.registry.governance import GovernancePolicy
from modelway.registry.ledger import Record
from modelway.registry.opinions import Opinion

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PASSED = {"rollout": "credit-2", "verdict": {"outcome": "pass"}}


def record(*checks: Reason, trained_by: str | None = "tom") -> Record:
    return Record(
        version=2,
        digest="d",
        run_id="r",
        registered_at=NOW,
        verdict=Verdict.of(checks or [check("parity")]),
        evaluation_sha256="e",
        trained_by=trained_by,
    )


def check(metric: str, outcome: Outcome = Outcome.PASS) -> Reason:
    return Reason(metric=metric, outcome=outcome, message=metric)


def said(*names: str, approved: bool = True) -> tuple[Opinion, ...]:
    return tuple(Opinion(who=name, why="read it", at=NOW, approved=approved) for name in names)


def judged(policy: GovernancePolicy, *opinions: Opinion, **facts: Any) -> Verdict:
    found = {"record": record(), "who": "ada", "evidence": None, "first": False} | facts
    return policy.judge(found.pop("record"), opinions, **found)


def test_without_rules_nothing_but_a_rejection_stands_in_the_way():
    assert judged(GovernancePolicy()).passed
    refused = judged(GovernancePolicy(), *said("bob", approved=False), *said("ada", "eve"))

    assert refused.outcome is Outcome.FAIL
    assert "rejected by bob: read it" in refused.summary()


@pytest.mark.parametrize(
    ("names", "enough"),
    [
        ((), False),
        (("ada",), False),
        (("ada", "ada"), False),
        (("ada", " Ada "), False),
        (("ada", "bob"), True),
        (("ada", "bob", "eve"), True),
    ],
)
def test_approvals_are_counted_by_person(names, enough):
    assert judged(GovernancePolicy(approvals=2), *said(*names)).passed is enough


def test_only_the_words_of_approvers_count():
    policy = GovernancePolicy(approvals=1, approvers=("ada", "bob"))

    assert not judged(policy, *said("eve")).passed
    assert judged(policy, *said("eve", "Bob")).passed


def test_who_trained_it_cannot_approve_it_when_the_policy_says_so():
    policy = GovernancePolicy(approvals=1, not_the_trainer=True)

    assert not judged(policy, *said("Tom")).passed
    assert judged(policy, *said("tom", "ada")).passed
    assert judged(GovernancePolicy(approvals=1), *said("tom")).passed


def test_where_nobody_noted_who_trained_it_no_approval_counts():
    policy = GovernancePolicy(approvals=1, not_the_trainer=True)

    assert not judged(policy, *said("ada"), record=record(trained_by=None)).passed


def test_only_promoters_may_promote():
    policy = GovernancePolicy(promoters=("flow:rollout",))

    assert not judged(policy, who="ada").passed
    assert judged(policy, who="flow:rollout").passed


@pytest.mark.parametrize(
    ("checks", "holds"),
    [
        ([check("parity"), check("twins")], False),
        ([check("parity"), check("duplicates: twins")], True),
        ([check("parity"), check("duplicates: twins"), check("duplicates: keys", Outcome.FAIL)], False),
        ([check("parity"), check("duplicates.a", Outcome.INCONCLUSIVE)], False),
        ([check("parity"), check("duplicates_elsewhere")], False),
    ],
)
def test_a_check_that_must_be_there_is_missed_when_nobody_made_it(checks, holds):
    policy = GovernancePolicy(checks=("parity", "duplicates"))

    assert judged(policy, record=record(*checks)).passed is holds


@pytest.mark.parametrize(
    ("evidence", "holds"),
    [
        (None, False),
        ({}, False),
        ({"rollout": "credit-2", "verdict": None}, False),
        ({"rollout": "credit-2", "verdict": {"outcome": "inconclusive"}}, False),
        ({"verdict": {"outcome": "pass"}}, False),
        (PASSED, True),
    ],
)
def test_a_rollout_must_have_passed_where_there_is_something_to_compare_with(evidence, holds):
    policy = GovernancePolicy(rollout_verdict=True)

    assert judged(policy, evidence=evidence).passed is holds
    assert judged(policy, evidence=evidence, first=True).passed


def test_rules_that_nobody_can_keep_are_refused_when_they_are_read():
    with pytest.raises(ValidationError, match="3 approvals cannot come from 2 approvers"):
        GovernancePolicy(approvals=3, approvers=("ada", "bob", "ADA"))


NAMES = st.lists(st.sampled_from(["ada", "Ada", "bob", "eve", "tom"]), max_size=6)


@given(NAMES, st.integers(min_value=0, max_value=4))
def test_as_many_people_as_the_rule_says_and_never_fewer(names, needed):
    people = {name.lower() for name in names} - {"tom"}
    policy = GovernancePolicy(approvals=needed, not_the_trainer=True)

    assert judged(policy, *said(*names)).passed is (len(people) >= needed)


@given(NAMES, st.sampled_from(["ada", "bob"]))
def test_no_number_of_approvals_outweighs_a_rejection(names, who):
    assert not judged(GovernancePolicy(), *said(*names), *said(who, approved=False)).passed
