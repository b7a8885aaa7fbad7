"""Which bundles may go: archived, old, out of reach of a rollback, and needed by nobody else."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.contract import Outcome, Reason, Verdict
from modelway.registry.ledger import Ledger, Record
from modelway.registry.retention import prunable
from modelway.registry.stages import Move, Stage, replay

R, S, P, X = Move.REGISTERED, Move.STAGED, Move.PROMOTED, Move.RETIRED
PASSED = Verdict.of([Reason(metric="m", outcome=Outcome.PASS, message="ok")])


def ledger(
    served: tuple[int, ...], retired: tuple[int, ...], waiting: tuple[int, ...], **digests: str
) -> Ledger:
    ends = {**dict.fromkeys(served, P), **dict.fromkeys(retired, X)}
    moves = [(m, v) for v in sorted({*served, *retired, *waiting}) for m in (R, S, ends.get(v)) if m]
    records = {
        v: Record(
            version=v,
            digest=digests.get(f"v{v}", f"digest {v}"),
            run_id="r",
            registered_at=datetime(2026, 1, 1, tzinfo=UTC),
            verdict=PASSED,
            evaluation_sha256="e",
        )
        for v in {*served, *retired, *waiting}
    }
    return Ledger(name="credit", subject="model:credit", shelf=replay(moves), records=records)


@pytest.mark.parametrize(
    ("keep", "rollbacks", "gone"),
    [
        (9, None, ()),
        (0, None, (3, 6)),
        (1, None, (3,)),
        (0, 9, (3, 6)),
        (0, 1, (1, 2, 3, 6)),
        (2, 1, (1, 2, 3)),
        (0, 0, (1, 2, 3, 4, 6)),
    ],
)
def test_what_goes_is_archived_old_and_out_of_reach_of_a_rollback(keep, rollbacks, gone):
    found = ledger(served=(1, 2, 4, 5), retired=(3, 6), waiting=(7,))

    assert prunable(found, keep, rollbacks) == gone


def test_a_bundle_that_another_version_needs_stays():
    assert prunable(ledger((1,), (2,), (3,), v2="same", v3="same"), 0) == ()
    assert prunable(ledger((1,), (2, 3), (), v2="same", v3="same"), 0) == (2, 3)
    assert prunable(ledger((1,), (2, 3), (), v2="same", v3="same"), 1) == ()


ENDS = st.lists(st.sampled_from(["served", "retired", "waiting"]), min_size=1, max_size=12)


@given(ENDS, st.integers(min_value=0, max_value=5), st.integers(min_value=0, max_value=5))
def test_what_serves_what_waits_and_what_may_come_back_never_goes(ends, keep, rollbacks):
    by_end = {
        end: tuple(v for v, e in enumerate(ends, 1) if e == end) for end in ("served", "retired", "waiting")
    }
    found = ledger(**by_end)

    gone = prunable(found, keep, rollbacks)

    safe = {v for v, stage in found.shelf.stages.items() if stage is not Stage.ARCHIVED}
    safe |= set(by_end["served"][-(rollbacks + 1) :])
    archived = [v for v, stage in sorted(found.shelf.stages.items()) if stage is Stage.ARCHIVED]
    safe |= set(archived[::-1][:keep])
    assert safe.isdisjoint(gone)
    assert set(gone) | safe == set(found.records)
