import json
from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parcels_case import DAY0, ParcelUseCase, parcels

from modelway.contract import Outcome, Verdict
from modelway.data import writer
from modelway.data.ingest import ingest
from modelway.data.snapshot import FolderSnapshotStore, Snapshot, known_as_of
from modelway.errors import ContractError, InputError, NotFoundError, SnapshotCorruptError, SourceError

PASSED = Verdict(outcome=Outcome.PASS)
CONTRACT = ParcelUseCase.contract


def commit(store: FolderSnapshotStore, *frames: pl.DataFrame, **more) -> Snapshot:
    return store.commit(
        frames,
        use_case="parcels",
        contract=CONTRACT,
        report=PASSED,
        source=more.pop("source", "test"),
        **more,
    )


def test_what_was_committed_is_what_is_read(store) -> None:
    snapshot = commit(store, parcels(5))

    assert store.scan(snapshot.id).collect().equals(parcels(5))
    assert (snapshot.rows, snapshot.key, snapshot.columns["weight_kg"]) == (5, "parcel", "Float64")


def test_the_same_rows_in_other_batches_are_the_same_snapshot(store) -> None:
    rows = parcels(10)

    batches = commit(store, rows.head(3), rows.head(0), rows.tail(7))

    assert batches.id == commit(store, rows).id


def test_the_same_rows_on_another_machine_have_the_same_id(store) -> None:
    elsewhere = FolderSnapshotStore("memory://another-machine")

    assert commit(store, parcels(5)).id == commit(elsewhere, parcels(5)).id


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"source": "another"}, id="source"),
        pytest.param({"parents": ["abc"]}, id="parents"),
        pytest.param({"quarantined": [parcels(1)]}, id="quarantined-rows"),
    ],
)
def test_the_id_covers_all_the_manifest_says(store, change) -> None:
    assert commit(store, parcels(5)).id != commit(store, parcels(5), **change).id


def test_one_changed_cell_in_the_middle_is_another_snapshot(store) -> None:
    weights = parcels(1000)["weight_kg"].to_list()
    weights[500] += 1e-9

    assert commit(store, parcels(1000)).id != commit(store, parcels(1000, weight_kg=weights)).id


def test_appended_rows_leave_the_earlier_chunks_as_they_are(store, monkeypatch) -> None:
    monkeypatch.setattr(writer, "CHUNK_ROWS", 4)
    rows = parcels(13)

    before = commit(store, rows.head(10))
    after = commit(store, rows)

    assert [chunk.rows for chunk in after.files] == [4, 4, 4, 1]
    assert before.files[:2] == after.files[:2]
    assert store.diff(before.id, after.id).shared_files == 2


def test_an_id_can_be_shortened_as_long_as_it_is_one(store) -> None:
    first, second = commit(store, parcels(3)), commit(store, parcels(4))

    assert store.get(first.id[:8]) == first
    assert store.list() == (first, second)
    with pytest.raises(NotFoundError, match="no snapshots start with ''"):
        store.get("")
    with pytest.raises(NotFoundError, match="no snapshots start with 'zz'"):
        store.get("zz")


def test_no_row_is_no_snapshot(store) -> None:
    with pytest.raises(InputError, match="no row to commit"):
        commit(store, parcels(0))

    assert store.list() == ()


def test_the_latest_is_of_the_use_case_asked_for(store) -> None:
    commit(store, parcels(3))

    with pytest.raises(NotFoundError, match="no snapshot of credit"):
        store.latest("credit")
    assert store.latest("parcels").rows == 3


@pytest.mark.parametrize("part", ["objects", "manifests"])
def test_a_flipped_bit_is_found_and_named(store, part) -> None:
    snapshot = commit(store, parcels(5), quarantined=[parcels(1)])
    name = (
        f"objects/{snapshot.files[0].sha256}.parquet"
        if part == "objects"
        else f"manifests/{snapshot.id}.json"
    )
    content = bytearray(store.folder.read(name))
    content[len(content) // 2] ^= 1
    store.folder.write(name, bytes(content))

    verdict = store.verify(snapshot.id)

    assert verdict.outcome is Outcome.FAIL
    assert [r.outcome for r in verdict.reasons].count(Outcome.FAIL) == 1
    with pytest.raises(SnapshotCorruptError):
        store.scan(snapshot.id)


def test_committing_again_heals_a_flipped_bit(store) -> None:
    snapshot = commit(store, parcels(5))
    store.folder.write(f"objects/{snapshot.files[0].sha256}.parquet", b"not parquet")
    assert not store.verify(snapshot.id).passed

    assert commit(store, parcels(5)) == snapshot
    assert store.verify(snapshot.id).passed


def test_a_sound_snapshot_verifies(store) -> None:
    verdict = store.verify(commit(store, parcels(5), quarantined=[parcels(1)]).id)

    assert verdict.passed
    assert verdict.evidence["files"] == 2


def test_a_manifest_of_another_version_is_refused(store) -> None:
    manifest = json.loads(store.folder.read(f"manifests/{commit(store, parcels(2)).id}.json"))
    digest = store.folder.put("manifests", ".json", json.dumps({**manifest, "colour": "red"}).encode())

    with pytest.raises(SnapshotCorruptError, match="another version"):
        store.get(digest)


def test_a_difference_is_counted_by_key_and_column(store) -> None:
    old = commit(store, parcels(4))
    new = commit(
        store,
        parcels(
            4, first=1, weight_kg=[2.5, 3.5, None, 1.0], zone=["south", "north", "north", "north"]
        ).with_columns(late=pl.Series([False, False, True, None])),
    )

    found = store.diff(old.id, new.id)

    assert (found.added, found.removed, found.changed) == (1, 1, 1)
    assert found.changed_by_column == {"weight_kg": 1, "zone": 1}


def test_a_snapshot_does_not_differ_from_itself(store) -> None:
    snapshot = commit(store, parcels(4, weight_kg=[None, 1.0, 2.0, 3.0]))

    found = store.diff(snapshot.id, snapshot.id)

    assert (found.added, found.removed, found.changed, found.changed_by_column) == (0, 0, 0, {})


def test_as_of_hides_later_rows_and_values_whose_clock_stands_later(store) -> None:
    snapshot = commit(store, parcels(4))

    seen = store.scan(snapshot.id, as_of=DAY0 + timedelta(days=2)).collect()

    assert seen["parcel"].to_list() == ["P0", "P1", "P2"]
    assert seen["late"].to_list() == [True, None, None]
    assert seen["arrived_at"].to_list() == [DAY0 + timedelta(days=2), None, None]
    assert seen["weight_kg"].to_list() == [1.5, 2.5, 3.5]


@given(offset_h=st.integers(-24, 24 * 40))
def test_an_as_of_read_equals_a_loop_over_the_rows(offset_h) -> None:
    as_of = DAY0 + timedelta(hours=offset_h)
    clocks = {column.name: column.known_from for column in CONTRACT.columns}
    expected = [
        {name: value if row[clocks[name]] <= as_of else None for name, value in row.items()}
        for row in parcels(30).to_dicts()
        if row["known_at"] <= as_of
    ]

    assert known_as_of(parcels(30).lazy(), clocks, as_of).collect().to_dicts() == expected


def test_an_as_of_without_a_zone_is_refused(store) -> None:
    snapshot = commit(store, parcels(2))

    with pytest.raises(InputError, match="no time zone"):
        store.scan(snapshot.id, as_of=datetime(2024, 1, 1))  # noqa: DTZ001 - what is refused


def test_an_as_of_in_another_zone_is_the_same_moment(store) -> None:
    snapshot = commit(store, parcels(4))
    tokyo = datetime(2024, 1, 2, 9, tzinfo=timezone(timedelta(hours=9)))

    seen = store.scan(snapshot.id, as_of=tokyo).collect()

    assert seen.equals(store.scan(snapshot.id, as_of=datetime(2024, 1, 2, tzinfo=UTC)).collect())


def test_ingest_commits_kept_rows_and_what_was_set_aside_beside_them(store) -> None:
    use_case = ParcelUseCase(parcels(3), parcels(3, first=2))

    snapshot = ingest(use_case, None, store)

    assert (snapshot.rows, snapshot.quarantined) == (5, 1)
    assert store.quarantine(snapshot.id)["_reason"].to_list() == ["duplicate_key"]
    assert snapshot.contract.passed
    assert ingest(use_case, None, store).id == snapshot.id


def test_a_failed_contract_commits_nothing(store) -> None:
    use_case = ParcelUseCase(parcels(3, weight_kg=[-1.0, -1.0, -1.0]))

    with pytest.raises(ContractError, match="3 of 3 rows"):
        ingest(use_case, None, store)
    assert store.list() == ()


def test_a_missing_source_commits_nothing(store) -> None:
    with pytest.raises(SourceError):
        ingest(ParcelUseCase(), "elsewhere", store)
    assert store.list() == ()


def test_nothing_set_aside_reads_as_an_empty_frame(store) -> None:
    assert store.quarantine(commit(store, parcels(2)).id).is_empty()
