"""What the books say of variants: retention, approvals, refusals. No store."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from modelway.bundle.engines import Profile
from modelway.bundle.variant import EnginesFor, Int8, Variant
from modelway.cli.optimize_register import registering
from modelway.contract import Outcome, Reason, Verdict
from modelway.errors import ConfigError, GateError, TransitionError
from modelway.registry.governance import GovernancePolicy
from modelway.registry.ledger import Ledger, Record
from modelway.registry.model_version import ModelVersion
from modelway.registry.retention import prunable
from modelway.registry.stages import Move, replay
from modelway.registry.variant_gates import check_origin

R, S, P, X = Move.REGISTERED, Move.STAGED, Move.PROMOTED, Move.RETIRED
PASSED = Verdict.of([Reason(metric="m", outcome=Outcome.PASS, message="ok")])


def digest(version: int) -> str:
    return f"{version:064x}"


def variant(origin: int) -> Variant:
    return Variant(
        origin_version=origin, origin_digest=digest(origin), recipe=Int8(limit=0.01), libraries={}, held={}
    )


def record(version: int, **changes: object) -> Record:
    fields = {
        "version": version,
        "digest": digest(version),
        "run_id": "r",
        "registered_at": datetime(2026, 1, 1, tzinfo=UTC),
        "verdict": PASSED,
        "evaluation_sha256": "e",
        "trained_by": "ada",
    }
    return Record.model_validate(fields | changes)


def model_version(**changes: object) -> ModelVersion:
    ledger = Ledger(
        name="credit", subject="model:credit", shelf=replay([(R, 1), (S, 1)]), records={1: record(1)}
    )
    return ModelVersion.of(ledger, 1, Path("bundles")).model_copy(update=changes)


@pytest.mark.parametrize(("of", "gone"), [(1, (3,)), (3, (1,)), (None, (1, 3))])
def test_the_origin_of_a_kept_variant_stays_with_it(of, gone):
    """Versions 1 and 3 are archived; 2 is in production, and a variant of `of`."""
    made = {} if of is None else {"variant": variant(of)}
    moves = [(R, 1), (S, 1), (X, 1), (R, 3), (S, 3), (X, 3), (R, 2), (S, 2), (P, 2)]
    records = {1: record(1), 3: record(3), 2: record(2, **made)}
    ledger = Ledger(name="credit", subject="model:credit", shelf=replay(moves), records=records)

    assert prunable(ledger, keep=0) == gone


@pytest.mark.parametrize(("who", "counts"), [("ada", False), ("Bob", False), ("eve", True)])
def test_neither_trainer_nor_maker_of_a_variant_approves_it(who, counts):
    policy, made = (
        GovernancePolicy(approvals=1, not_the_trainer=True),
        record(4, variant=variant(1), made_by="bob"),
    )

    found = policy.may_approve(who, made)

    assert (found.outcome is Outcome.PASS) is counts
    assert found.message.startswith("ada and bob made it")


def test_a_version_that_a_training_made_is_approved_as_before():
    found = GovernancePolicy(approvals=1, not_the_trainer=True).may_approve("eve", record(1))

    assert (found.outcome, found.message) == (Outcome.PASS, "ada trained it")


@pytest.mark.parametrize(
    ("changes", "refused", "told"),
    [
        ({"verdict": Verdict.of([])}, GateError, "did not pass its gates"),
        ({"rejected_by": "ada"}, TransitionError, "was rejected by ada"),
        ({"variant": variant(7)}, ConfigError, "int8 of version 7 already"),
    ],
)
def test_a_variant_needs_an_origin_that_may_serve(changes, refused, told):
    check_origin(model_version())

    with pytest.raises(refused, match=told):
        check_origin(model_version(**changes))


@pytest.mark.parametrize("where", ["rows", "bundle", "out", "verify_key"])
def test_register_takes_a_registered_model_and_nothing_else(where):
    assert registering("credit@3", rows=None, bundle=None, out=None) == "credit@3"

    with pytest.raises(ConfigError, match=f"--register with --{where.replace('_', '-')}"):
        registering("credit@3", **{where: Path("somewhere")})
    with pytest.raises(ConfigError, match="no model"):
        registering(None)


def test_a_recipe_says_what_it_makes_and_refuses_what_it_does_not_know():
    engines = EnginesFor(
        module="tensorrt_rtx", archs=("sm89", "sm120"), precisions=("fp16",), profile=Profile(), limit=1e-4
    )
    said = variant(3).model_dump(mode="json")

    assert engines.words == "engines for sm89, sm120 in fp16"
    assert Variant.model_validate(said).words == "int8 of version 3"
    for wrong in (
        {"recipe": {"how": "magic"}},
        {"recipe": {"how": "int8", "limit": 0}},
        {"held": {"a": "nan"}},
    ):
        with pytest.raises(ValidationError):
            Variant.model_validate(said | wrong)
