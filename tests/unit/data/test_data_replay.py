import pytest
from parcels_case import DAY0, ParcelUseCase, parcels

from modelway.contract import DataContract, RowRule
from modelway.data.increments import ingest_onto
from modelway.data.ingest import ingest
from modelway.data.replay import quarantine_groups, replay
from modelway.errors import ContractError

CONTRACT = ParcelUseCase.contract
HEAVY = "weight_kg:less_than_or_equal_to(50.0)"


def case(contract: DataContract, *frames) -> ParcelUseCase:
    made = ParcelUseCase(*frames)
    made.contract = contract
    return made


def mended(**parts: object) -> DataContract:
    columns = tuple(c.model_copy(update=parts) if c.name == "weight_kg" else c for c in CONTRACT.columns)
    return CONTRACT.model_copy(update={"columns": columns, "version": "1.1"})


DIRTY = parcels(8, weight_kg=[60.0, 55.0, 99.0, 1.0, 1.0, 1.0, 1.0, 1.0])


def test_rows_are_grouped_by_reason_with_examples(store) -> None:
    early = [DAY0, *parcels(8)["arrived_at"][1:]]
    frame = DIRTY.with_columns(parcels(8, arrived_at=[*early[:5], DAY0, *early[6:]])["arrived_at"])
    snapshot = ingest(case(CONTRACT, frame), None, store)

    heavy, early_ones = quarantine_groups(store, snapshot, examples=2)

    assert (heavy.reason, heavy.rows, heavy.examples) == (HEAVY, 3, ("P0", "P1"))
    assert (early_ones.reason, early_ones.rows) == ("arrived_before_sent", 1)
    assert early_ones.message == "arrived before it was sent"


def test_nothing_set_aside_is_no_group_and_a_replay_changes_nothing(store) -> None:
    snapshot = ingest(case(CONTRACT, parcels(3)), None, store)

    assert quarantine_groups(store, snapshot) == ()
    assert replay(case(CONTRACT), store).id == snapshot.id


def test_rows_that_pass_a_mended_contract_are_committed_as_a_child(store) -> None:
    parent = ingest(case(CONTRACT, DIRTY), None, store)

    child = replay(case(mended(le=70.0)), store)

    assert (child.parents, child.rows, child.quarantined) == ((parent.id,), 7, 1)
    assert store.quarantine(child.id)["parcel"].to_list() == ["P2"]
    whole = ingest(case(mended(le=70.0), DIRTY), None, store)
    found, expected = (store.scan(s.id).collect().sort("parcel") for s in (child, whole))
    assert found.equals(expected), "as if the whole had been ingested under the mended contract"


def test_without_a_change_a_replay_is_the_snapshot_itself(store) -> None:
    snapshot = ingest(case(CONTRACT, DIRTY), None, store)

    assert replay(case(CONTRACT), store, onto=snapshot.id).id == snapshot.id


def test_a_mended_clean_needs_the_source(store) -> None:
    class InGrams(ParcelUseCase):
        def clean(self, raw):
            grams = raw["weight_kg"] > 50
            return raw.with_columns(weight_kg=raw["weight_kg"].zip_with(~grams, raw["weight_kg"] / 1000))

    parent = ingest(case(CONTRACT, DIRTY), None, store)

    child = replay(InGrams(DIRTY, parcels(3, first=20)), store, source="memory")

    assert (child.rows, child.quarantined) == (8, 0), "rows that were not set aside are not taken"
    assert store.scan(child.id).collect().sort("parcel")["weight_kg"][0] == pytest.approx(0.06)
    assert replay(InGrams(), store, onto=parent.id).id == parent.id, "stored rows are cleaned already"


def test_a_second_row_of_a_kept_key_stays_set_aside(store) -> None:
    twice = parcels(3, parcel=["P0", "P0", "P1"], weight_kg=[1.0, 2.0, 3.0])
    snapshot = ingest(case(CONTRACT, twice), None, store)

    assert replay(case(CONTRACT), store).id == snapshot.id
    assert store.scan(snapshot.id).collect()["weight_kg"].to_list() == [1.0, 3.0]


def test_rows_of_the_parent_that_break_a_stricter_contract_stop_it(store) -> None:
    ingest(case(CONTRACT, parcels(8)), None, store)

    with pytest.raises(ContractError, match=r"4 rows of .* break contract 1.1: 4 for weight_kg"):
        ingest_onto(case(mended(le=5.0), parcels(1, first=9)), None, store)


def test_a_rule_that_cannot_be_tried_on_the_parent_needs_trust_and_is_named(store) -> None:
    rule = RowRule(name="fragile", message="fragile", violated="fragile", action="quarantine")
    stricter = CONTRACT.model_copy(update={"rules": (*CONTRACT.rules, rule), "version": "1.1"})
    ingest(case(CONTRACT, parcels(4)), None, store)
    news = case(stricter, parcels(4, first=4).with_columns(fragile=False))

    with pytest.raises(ContractError, match=r"fragile of contract 1.1 cannot be tried"):
        ingest_onto(news, None, store)
    child = ingest_onto(news, None, store, trust_parent=True)

    assert child.contract.evidence["increment"]["unchecked_rules"] == ["fragile"]
    assert (child.rows, child.contract_version) == (8, "1.1")


def test_a_rule_over_kept_columns_is_tried_on_the_parent(store) -> None:
    rule = RowRule(name="light", message="light", violated="weight_kg < 2", action="quarantine")
    stricter = CONTRACT.model_copy(update={"rules": (*CONTRACT.rules, rule), "version": "1.1"})
    ingest(case(CONTRACT, parcels(4)), None, store)

    with pytest.raises(ContractError, match="1 for light"):
        ingest_onto(case(stricter, parcels(4, first=4)), None, store)
