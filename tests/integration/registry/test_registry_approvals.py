"""Approving, rejecting and promoting under a stack's rules, on a real registry."""

import pytest

from modelway.contract import Gates
from modelway.errors import ApprovalError, InputError, TransitionError
from modelway.evaluation import gates
from modelway.registry.governance import GovernancePolicy
from modelway.registry.stages import Stage

TWO = GovernancePolicy(approvals=2, approvers=("ada", "bob", "ci"), not_the_trainer=True)
PROMOTION = {"who": "eve", "why": "it is better"}


@pytest.fixture
def strict(workshop):
    """The workshop under TWO; its versions were trained by `ci`."""
    workshop.policy = TWO
    return workshop


def test_a_version_is_promoted_once_two_people_approved(strict):
    strict.register("credit", seed=1)
    approvals = strict.registry.approvals

    for who in ("ada", "ADA "):
        approvals.approve("credit", 1, who=who, why="calibrated")
        with pytest.raises(ApprovalError, match="1 of 2 approvals"):
            strict.registry.promote("credit", 1, **PROMOTION)
    approvals.approve("credit", 1, who="bob", why="fair enough")

    assert strict.registry.promote("credit", 1, **PROMOTION).stage is Stage.PRODUCTION
    promoted = strict.audit.entries()[-1]
    assert promoted.evidence["governance"]["governance.approvals"] == "2 of 2 approvals (ADA , bob)"
    assert strict.registry.get("credit", 1).approved_by == ("ADA ", "bob")


def test_a_stranger_and_the_trainer_are_refused_and_nothing_is_written(strict):
    strict.register("credit", seed=1)
    before = strict.audit.entries()

    with pytest.raises(ApprovalError, match="eve is not among ada, bob, ci"):
        strict.registry.approvals.approve("credit", 1, who="eve", why="looks good")
    with pytest.raises(ApprovalError, match="ci trained it: someone else must approve"):
        strict.registry.approvals.approve("credit", 1, who="CI", why="my own work")
    with pytest.raises(InputError, match="without why"):
        strict.registry.approvals.approve("credit", 1, who="ada", why=" ")
    assert strict.audit.entries() == before


def test_a_rejected_version_is_never_promoted_nor_the_challenger(workshop):
    workshop.register("credit", seed=1)
    workshop.register("credit", seed=2)
    workshop.registry.approvals.reject("credit", 2, who="ada", why="unfair to new firms")

    with pytest.raises(ApprovalError, match="rejected by ada: unfair to new firms"):
        workshop.registry.promote("credit", 2, **PROMOTION)
    with pytest.raises(ApprovalError, match="was rejected"):
        workshop.registry.approvals.approve("credit", 2, who="bob", why="I see no problem")
    assert workshop.registry.get("credit", "challenger").version == 1
    assert workshop.registry.get("credit", 2).rejected_by == "ada"


def test_a_rejected_bundle_may_be_retired_and_registered_anew(workshop):
    workshop.register("credit", seed=1)
    workshop.registry.approvals.reject("credit", 1, who="ada", why="by mistake")
    workshop.registry.retire("credit", 1, who="ada", why="start over")

    again = workshop.register("credit", seed=1)

    assert (again.version, again.rejected_by) == (2, None)
    assert workshop.registry.promote("credit", 2, **PROMOTION).stage is Stage.PRODUCTION


def test_an_approval_rests_on_the_evaluation_it_was_given_for(strict):
    version = strict.register("credit", seed=1)
    for who in ("ada", "bob"):
        strict.registry.approvals.approve("credit", 1, who=who, why="calibrated")
    limits = Gates(min_roc_auc=0.61, min_rows=100, min_positives=10, max_calibration_error=0.5)
    other = gates(strict.evaluation, limits)
    assert other.passed
    strict.registry.register(
        strict.registry.bundle("credit", version.version),
        evaluation=strict.evaluation,
        verdict=other,
        run_id="r",
        who="ci",
    )

    assert strict.registry.get("credit", 1).approved_by == ()
    with pytest.raises(ApprovalError, match="0 of 2 approvals"):
        strict.registry.promote("credit", 1, **PROMOTION)


def test_only_versions_in_staging_are_approved_and_none_that_served_is_rejected(workshop):
    workshop.promoted("credit", seed=1)
    workshop.register("credit", seed=2, good=False)
    approvals = workshop.registry.approvals

    with pytest.raises(TransitionError, match="is in Production: it cannot be rejected"):
        approvals.reject("credit", 1, who="ada", why="too late")
    with pytest.raises(TransitionError, match="is in Development: it cannot be approved"):
        approvals.approve("credit", 2, who="ada", why="please")
    assert approvals.reject("credit", 2, who="ada", why="no") == 2


def test_before_a_rollout_everything_but_its_own_verdict_is_asked_for(workshop):
    workshop.policy = GovernancePolicy(approvals=1, rollout_verdict=True)
    workshop.register("credit", seed=1)
    registry = workshop.registry
    with pytest.raises(ApprovalError, match="0 of 1 approvals"):
        registry.approvals.check("credit", 1, who="flow:rollout")
    registry.approvals.approve("credit", 1, who="ada", why="yes")
    registry.promote("credit", 1, **PROMOTION)
    workshop.register("credit", seed=2)
    registry.approvals.approve("credit", 2, who="ada", why="yes")

    registry.approvals.check("credit", 2, who="flow:rollout")
    with pytest.raises(ApprovalError, match="no rollout compared it"):
        registry.promote("credit", 2, **PROMOTION)
    evidence = {"rollout": "credit-2", "verdict": {"outcome": "pass"}}
    assert registry.promote("credit", 2, evidence=evidence, **PROMOTION).stage is Stage.PRODUCTION


def test_the_log_with_approvals_still_verifies_and_says_from_which_account(workshop):
    workshop.register("credit", seed=1)
    workshop.registry.approvals.approve("credit", 1, who="ada", why="yes")

    assert workshop.audit.verify().passed
    assert workshop.audit.entries()[-1].evidence["account"]
