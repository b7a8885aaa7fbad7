"""Ingesting onto a snapshot: by hand, against one ingest of the whole, and by property."""

from datetime import datetime, timedelta
from uuid import uuid4

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parcels_case import DAY0, ParcelUseCase, parcels

from modelway.contract import Outcome, Verdict
from modelway.data import growth, increments, writer
from modelway.data.increments import ingest_onto
from modelway.data.ingest import ingest
from modelway.data.snapshot import FolderSnapshotStore, Snapshot
from modelway.errors import ConflictError, ContractError, InputError, NotFoundError


def whole(store: FolderSnapshotStore, *frames: pl.DataFrame) -> Snapshot:
    return ingest(ParcelUseCase(*frames), None, store)


def onto(store: FolderSnapshotStore, *frames: pl.DataFrame, parent: str = "latest") -> Snapshot:
    return ingest_onto(ParcelUseCase(*frames), None, store, onto=parent)


def rows(store: FolderSnapshotStore, snapshot: Snapshot, as_of: datetime | None = None) -> pl.DataFrame:
    return store.scan(snapshot.id, as_of=as_of).collect().sort("parcel")


def told(snapshot: Snapshot) -> dict:
    return snapshot.contract.evidence["increment"]


def counts(snapshot: Snapshot) -> tuple[int, int, int, int]:
    found = told(snapshot)
    return found["new"], found["late"], found["corrected"], found["unchanged"]


def test_new_late_corrected_and_unchanged_rows_are_told_apart(store) -> None:
    parent = whole(store, parcels(4))  # P0 to P3, the watermark is day 3
    late = parcels(1, first=9, known_at=[DAY0 + timedelta(days=2)], event_time=[DAY0])
    corrected = parcels(1, first=1, weight_kg=[7.0])

    child = onto(store, pl.concat([parcels(1), corrected, late, parcels(2, first=4)]))

    assert counts(child) == (2, 1, 1, 1)
    assert child.parents == (parent.id,)
    assert rows(store, child)["parcel"].to_list() == ["P0", "P1", "P2", "P3", "P4", "P5", "P9"]
    assert rows(store, child).filter(parcel="P1")["weight_kg"].to_list() == [7.0]
    assert rows(store, parent).equals(parcels(4)), "the parent is as it was"


def test_the_watermark_is_the_newest_known_at_and_a_row_known_then_is_late(store) -> None:
    whole(store, parcels(4))
    at_it = parcels(1, first=8, known_at=[DAY0 + timedelta(days=3)], event_time=[DAY0])

    child = onto(store, at_it)

    assert counts(child) == (0, 1, 0, 0)
    assert told(child)["parent_watermark"] == told(child)["watermark"] == "2024-01-04T00:00:00Z"


def test_the_watermark_never_goes_back(store) -> None:
    whole(store, parcels(4))
    earlier = parcels(1, first=3, known_at=[DAY0], event_time=[DAY0])

    child = onto(store, earlier)  # the newest row turns out to be of day 0

    assert told(child)["watermark"] == "2024-01-04T00:00:00Z"
    assert counts(onto(store, parcels(1, first=2, parcel=["late"]))) == (0, 1, 0, 0)


def test_a_late_row_is_hidden_before_its_own_moment_and_shown_after_it(store) -> None:
    parent = whole(store, parcels(4))
    known = DAY0 + timedelta(days=2)
    child = onto(store, parcels(1, first=9, known_at=[known], event_time=[DAY0]))

    before, after = known - timedelta(seconds=1), known

    assert rows(store, child, before).equals(rows(store, parent, before))
    assert "P9" in rows(store, child, after)["parcel"].to_list()
    assert "P9" not in rows(store, parent, after)["parcel"].to_list()
    assert told(child)["same_before"] == "2024-01-03T00:00:00Z"


def test_an_outcome_that_comes_in_changes_no_read_from_before_it_was_known(store) -> None:
    parent = whole(store, parcels(4, arrived_at=[None] * 4, late=[None] * 4))

    child = onto(store, parcels(1))  # P0 arrived on day 2

    assert counts(child) == (0, 0, 1, 0)
    assert told(child)["same_before"] == "2024-01-03T00:00:00Z"
    day_1 = DAY0 + timedelta(days=1)
    assert rows(store, child, day_1).equals(rows(store, parent, day_1))


def test_untouched_chunks_are_shared_and_only_the_touched_one_is_written_anew(store, monkeypatch) -> None:
    monkeypatch.setattr(writer, "CHUNK_ROWS", 4)
    parent = whole(store, parcels(12))

    appended = onto(store, parcels(4, first=12))
    corrected = onto(store, parcels(1, first=5, weight_kg=[9.0]), parent=parent.id)

    assert appended.files[:3] == parent.files
    assert set(parent.files) - set(corrected.files) == {parent.files[1]}
    assert rows(store, corrected)["parcel"].n_unique() == corrected.rows == 12


def test_many_small_increments_are_written_together(store, monkeypatch) -> None:
    monkeypatch.setattr(growth, "MOST_SMALL_CHUNKS", 3)
    whole(store, parcels(1))

    grown = [onto(store, parcels(1, first=n)) for n in range(1, 12)]

    assert max(len(snapshot.files) for snapshot in grown) <= 5
    assert rows(store, grown[-1]).sort("event_time").equals(pl.concat(parcels(1, first=n) for n in range(12)))


def test_an_increment_without_news_is_its_parent(store) -> None:
    parent = whole(store, parcels(4))

    assert onto(store, parcels(4)).id == parent.id
    assert len(store.list()) == 1


def test_the_same_increment_twice_is_the_same_snapshot(store) -> None:
    parent = whole(store, parcels(4))
    news = parcels(3, first=3, weight_kg=[99.0, 5.0, 5.0])

    child = onto(store, news)

    assert onto(store, news).id == child.id, "onto the child"
    assert onto(store, news, parent=parent.id).id == child.id, "onto its parent"


def test_the_report_covers_the_whole(store) -> None:
    whole(store, parcels(4, weight_kg=[0.0, 99.0, 1.0, None]))  # one noted, one set aside, one null

    child = onto(store, parcels(4, first=4, weight_kg=[0.0, 99.0, 1.0, None]))
    found = child.contract.evidence

    assert (found["rows"], found["kept"], found["quarantined"]) == (8, 6, 2)
    assert found["rules"]["weightless"]["rows"] == 2
    assert found["rules"]["weight_kg:less_than_or_equal_to(50.0)"] == {
        "action": "quarantine",
        "rows": 2,
        "set_aside": 2,
    }
    assert found["nulls"] == {"weight_kg": 2}
    assert child.quarantined == store.quarantine(child.id).height == 2


def test_a_sound_version_settles_a_quarantined_row(store) -> None:
    whole(store, parcels(4, weight_kg=[1.0, 99.0, 98.0, 1.0]))

    child = onto(store, parcels(1, first=1))

    assert told(child)["settled"] == 1
    assert store.quarantine(child.id)["parcel"].to_list() == ["P2"]
    assert child.contract.evidence["rules"]["weight_kg:less_than_or_equal_to(50.0)"]["rows"] == 1


def test_a_whole_that_breaks_the_contract_is_not_committed(store) -> None:
    parent = whole(store, parcels(4))

    with pytest.raises(ContractError, match="set aside"):
        onto(store, parcels(9, first=4, weight_kg=[99.0] * 9))
    assert [snapshot.id for snapshot in store.list()] == [parent.id]


def test_a_parent_of_other_columns_is_refused(store) -> None:
    whole(store, parcels(4))
    case = ParcelUseCase(parcels(4))
    case.contract = case.contract.model_copy(
        update={"columns": case.contract.columns[:-1], "rules": (), "version": "2.0"}
    )

    with pytest.raises(ContractError, match="other columns"):
        ingest_onto(case, None, store)


def test_a_parent_of_another_use_case_is_refused(store) -> None:
    parent = whole(store, parcels(4))
    case = ParcelUseCase(parcels(4))
    case.name = "letters"

    with pytest.raises(InputError, match="a snapshot of parcels"):
        ingest_onto(case, None, store, onto=parent.id)
    with pytest.raises(NotFoundError, match="no snapshot of letters"):
        ingest_onto(case, None, store)


def test_a_parent_without_sums_is_refused(store) -> None:
    report = Verdict(outcome=Outcome.PASS)
    store.commit([parcels(2)], use_case="parcels", contract=ParcelUseCase.contract, report=report, source="t")

    with pytest.raises(InputError, match="lacks 'kept'"):
        onto(store, parcels(4))


def test_two_increments_onto_the_same_latest_do_not_lose_one_another(store, monkeypatch) -> None:
    whole(store, parcels(4))

    class Overtaken(increments.Growth):
        def report(self, increment):
            whole(store, parcels(5))  # somebody else is faster
            return super().report(increment)

    monkeypatch.setattr(increments, "Growth", Overtaken)

    with pytest.raises(ConflictError, match="no longer the newest"):
        onto(store, parcels(1, first=9))
    assert len(store.list()) == 2


days = st.integers(0, 6)  # few, so that moments meet
table = st.lists(
    st.tuples(days, days, st.none() | days, st.none() | st.sampled_from([-1.0, 0.0, 2.0, 60.0])),
    min_size=2,
    max_size=12,
)


def frame(drawn: list[tuple[int, int, int | None, float | None]]) -> pl.DataFrame:
    """Rows of distinct keys; some broken, many disordered."""
    return parcels(
        len(drawn),
        event_time=[DAY0 + timedelta(days=event) for event, *_ in drawn],
        known_at=[DAY0 + timedelta(days=known) for _, known, *_ in drawn],
        arrived_at=[None if arrived is None else DAY0 + timedelta(days=arrived) for *_, arrived, _ in drawn],
        weight_kg=[weight for *_, weight in drawn],
    )


class TolerantCase(ParcelUseCase):
    contract = ParcelUseCase.contract.model_copy(update={"max_quarantined_share": 1.0, "min_rows": 1})


@settings(max_examples=25, deadline=None)
@given(drawn=table, data=st.data())
def test_any_split_into_increments_gives_the_rows_of_one_ingest(drawn, data) -> None:
    """A sound first row, so that no part is empty of rows."""
    all_rows = pl.concat([parcels(1, parcel=["first"]), frame(drawn)])
    order = data.draw(st.permutations(range(1, all_rows.height)))
    cut = data.draw(st.integers(1, len(order)))
    parts = [all_rows[[0, *order[:cut]]], all_rows[order[cut:]]]
    at_once, step_by_step = (FolderSnapshotStore(f"memory://{uuid4()}") for _ in range(2))

    expected = ingest(TolerantCase(all_rows), None, at_once)
    found = ingest(TolerantCase(parts[0]), None, step_by_step)
    if parts[1].height:
        found = ingest_onto(TolerantCase(parts[1]), None, step_by_step)

    assert rows(step_by_step, found).equals(rows(at_once, expected))
    for day in range(8):
        moment = DAY0 + timedelta(days=day)
        assert rows(step_by_step, found, moment).equals(rows(at_once, expected, moment))
    aside = [s.quarantine(i.id) for s, i in ((step_by_step, found), (at_once, expected))]
    assert sorted(aside[0].rows()) == sorted(aside[1].rows()) if aside[1].height else aside[0].is_empty()
    assert {**found.contract.evidence, "increment": 0} == {**expected.contract.evidence, "increment": 0}


@settings(max_examples=25, deadline=None)
@given(first=table, second=table)
def test_reads_before_the_moment_named_are_those_of_the_parent(first, second) -> None:
    store = FolderSnapshotStore(f"memory://{uuid4()}")
    parent = ingest(TolerantCase(pl.concat([parcels(1, parcel=["first"]), frame(first)])), None, store)
    child = ingest_onto(TolerantCase(frame(second)), None, store, onto=parent.id)

    named = told(child)["same_before"] if child.id != parent.id else None
    limit = datetime.fromisoformat(named) if named else DAY0 + timedelta(days=99)

    for day in range(8):
        moment = DAY0 + timedelta(days=day)
        if moment < limit:
            assert rows(store, child, moment).equals(rows(store, parent, moment))
