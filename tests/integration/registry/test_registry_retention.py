"""Pruning old bundles: what goes, what never goes, and what is said of it afterwards."""

import json

import pytest

from modelway.errors import InputError, NotFoundError, TransitionError
from modelway.registry.references import versions_by_snapshot
from modelway.registry.stages import Stage

DISK = {"who": "ada", "why": "the disk is full"}


@pytest.fixture
def busy(workshop):
    """1, 2, 4 served before 5; 3 and 6 were retired; 7 waits."""
    for seed in (1, 2):
        workshop.promoted("credit", seed)
    workshop.register("credit", 3)
    workshop.registry.retire("credit", 3, who="ada", why="slow")
    for seed in (4, 5):
        workshop.promoted("credit", seed)
    workshop.register("credit", 6)
    workshop.registry.retire("credit", 6, who="ada", why="slow")
    workshop.register("credit", 7)
    return workshop


def there(workshop) -> set[int]:
    return {v.version for v in workshop.registry.list("credit") if v.bundle_path.is_dir()}


def test_pruning_does_what_was_planned_and_writes_it_down(busy):
    planned = busy.registry.retention.plan("credit", keep=0, rollbacks=1)
    assert there(busy) == {1, 2, 3, 4, 5, 6, 7}

    assert busy.registry.retention.prune("credit", keep=0, rollbacks=1, **DISK) == planned
    assert there(busy) == {4, 5, 7}
    assert all(each.size_bytes > 0 for each in planned)
    entries = [e for e in busy.audit.entries() if e.event == "model.pruned"]
    assert [e.evidence["version"] for e in entries] == [1, 2, 3, 6]
    assert busy.audit.verify().passed
    assert busy.registry.retention.prune("credit", keep=0, rollbacks=1, **DISK) == ()


def test_a_pruned_version_says_so_and_keeps_its_evaluation_card_and_lineage(busy):
    lineage = busy.registry.bundle("credit", 3).lineage
    busy.registry.retention.prune("credit", keep=0, **DISK)
    registry = busy.registry

    with pytest.raises(NotFoundError, match=r"credit@3 was pruned on 2026-01-\d\d by ada: the disk is full"):
        registry.bundle("credit", 3)
    assert registry.verify("credit", 3).outcome.value == "inconclusive"
    assert registry.evaluation("credit", 3) == busy.evaluation
    kept = registry.report("credit", 3).parent
    assert json.loads((kept / "lineage.json").read_text())["seed"] == lineage.seed
    assert (kept / "model_card.md").read_text() == "# card\n"


def test_a_rollback_never_returns_to_a_pruned_version(busy):
    busy.registry.retention.prune("credit", keep=0, rollbacks=1, **DISK)
    registry = busy.registry

    assert registry.rollback("credit", who="ada", why="errors").version == 4
    with pytest.raises(TransitionError, match="no version served before"):
        registry.rollback("credit", who="ada", why="errors")
    assert registry.get("credit", 4).stage is Stage.PRODUCTION


def test_a_bundle_that_another_version_needs_stays(workshop):
    workshop.promoted("credit", 1)
    workshop.register("credit", 2)
    workshop.registry.retire("credit", 2, who="ada", why="start over")
    again = workshop.register("credit", 2)

    assert workshop.registry.retention.prune("credit", keep=0, **DISK) == ()
    assert workshop.registry.bundle("credit", again.version).digest == again.digest


def test_files_that_a_killed_call_left_behind_go_with_the_next(busy, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            "modelway.registry.retention.shutil.rmtree",
            lambda _path: (_ for _ in ()).throw(KeyboardInterrupt),
        )
        with pytest.raises(KeyboardInterrupt):
            busy.registry.retention.prune("credit", keep=0, **DISK)
    left = list(busy.bundles.glob(".pruned-*"))
    assert left

    busy.registry.retention.prune("credit", keep=0, **DISK)

    assert not list(busy.bundles.glob(".pruned-*"))
    assert there(busy) == {1, 2, 4, 5, 7}


def test_without_a_reason_or_with_odd_numbers_nothing_goes(busy):
    with pytest.raises(InputError, match="without why"):
        busy.registry.retention.prune("credit", keep=0, who="ada", why="")
    with pytest.raises(InputError, match="keep -1 versions"):
        busy.registry.retention.prune("credit", keep=-1, **DISK)
    assert there(busy) == {1, 2, 3, 4, 5, 6, 7}


def test_snapshots_are_looked_up_for_versions_with_a_bundle(busy):
    busy.registry.retention.prune("credit", keep=0, **DISK)

    (versions,) = versions_by_snapshot(busy.registry).values()
    assert {each.version for each in versions} == {1, 2, 4, 5, 7}
