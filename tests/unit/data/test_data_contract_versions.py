import pytest
from parcels_case import ParcelUseCase, parcels

from modelway.contract import Column, DataContract, Outcome, RowRule
from modelway.data.compatibility import ModelNeeds, compatibility
from modelway.data.contract_versions import (
    check_version,
    contract_changes,
    contract_history,
    needed_version,
)
from modelway.data.increments import ingest_onto
from modelway.data.ingest import ingest
from modelway.data.validation import TYPES
from modelway.errors import ConfigError, ContractError
from usecases.credit import use_case

CONTRACT = ParcelUseCase.contract


def changed(**parts: object) -> DataContract:
    return CONTRACT.model_copy(update=parts)


def column(name: str, **parts: object) -> tuple[Column, ...]:
    return tuple(c.model_copy(update=parts) if c.name == name else c for c in CONTRACT.columns)


def rule(name: str, **parts: object) -> tuple[RowRule, ...]:
    return tuple(r.model_copy(update=parts) if r.name == name else r for r in CONTRACT.rules)


def case(contract: DataContract, *frames) -> ParcelUseCase:
    made = ParcelUseCase(*(frames or [parcels(4)]))
    made.contract = contract
    return made


@pytest.mark.parametrize(
    ("new", "needed", "told"),
    [
        pytest.param(changed(columns=CONTRACT.columns[:-1]), "2.0", "column zone went", id="column-gone"),
        pytest.param(
            changed(columns=(*CONTRACT.columns, Column(name="n", kind="int"))),
            "2.0",
            "column n came",
            id="came",
        ),
        pytest.param(
            changed(columns=column("weight_kg", kind="int")), "2.0", "kind float became int", id="retyped"
        ),
        pytest.param(
            changed(columns=column("zone", known_from="arrived_at")), "2.0", "known_from", id="other-clock"
        ),
        pytest.param(changed(key="zone"), "2.0", "the key parcel became zone", id="key"),
        pytest.param(changed(columns=column("weight_kg", le=60)), "1.1", "le 50.0 became 60", id="range"),
        pytest.param(
            changed(columns=column("zone", isin=("north",))),
            "1.1",
            "isin north, south became north",
            id="set",
        ),
        pytest.param(changed(columns=column("zone", nullable=False)), "1.1", "nullable", id="nullable"),
        pytest.param(
            changed(rules=CONTRACT.rules[1:]), "1.1", "rule arrived_before_sent went", id="rule-gone"
        ),
        pytest.param(
            changed(rules=rule("weightless", violated="weight_kg < 1")),
            "1.1",
            "became weight_kg < 1",
            id="rule",
        ),
        pytest.param(changed(rules=CONTRACT.rules[::-1]), "1.1", "order of the rules", id="rule-order"),
        pytest.param(changed(max_quarantined_share=0.1), "1.1", "max_quarantined_share 0.5", id="share"),
        pytest.param(changed(forbidden=()), "1.1", "forbidden late became none", id="forbidden"),
    ],
)
def test_a_change_needs_a_version_and_is_refused_without_it(store, new, needed, told) -> None:
    first = ingest(case(CONTRACT), None, store)

    assert needed_version(CONTRACT, contract_changes(CONTRACT, new)) == needed
    with pytest.raises(ContractError, match="changed: .*" + told) as refused:
        check_version(first, new)
    assert f"version {needed} or later" in str(refused.value.expected)
    check_version(first, new.model_copy(update={"version": needed}))


def test_a_major_change_is_not_excused_by_a_minor_version(store) -> None:
    first = ingest(case(CONTRACT), None, store)

    with pytest.raises(ContractError, match="column zone went"):
        check_version(first, changed(columns=CONTRACT.columns[:-1], version="1.7"))


def test_words_are_free_to_change(store) -> None:
    first = ingest(case(CONTRACT), None, store)
    words = changed(
        columns=column("zone", description="where"), rules=rule("weightless", message="no weight")
    )

    assert contract_changes(CONTRACT, words) == ()
    check_version(first, words)


def test_a_version_that_goes_back_is_refused(store) -> None:
    first = ingest(case(changed(version="1.3")), None, store)

    with pytest.raises(ContractError, match="its version went back"):
        check_version(first, changed(version="1.2"))


def test_a_version_that_is_no_number_is_refused(store) -> None:
    with pytest.raises(ConfigError, match="contract version 'new'"):
        check_version(None, changed(version="new"))


def test_ingest_refuses_a_silent_change_and_commits_nothing(store) -> None:
    ingest(case(CONTRACT), None, store)
    silent = case(changed(columns=column("weight_kg", le=60)))

    for run in (ingest, ingest_onto):
        with pytest.raises(ContractError, match=r"le 50\.0 became 60"):
            run(silent, None, store)
    assert len(store.list()) == 1


def test_the_history_names_each_version_with_its_changes(store) -> None:
    first = ingest(case(CONTRACT), None, store)
    second = ingest(case(CONTRACT, parcels(5)), None, store)
    third = ingest(case(changed(version="1.1", min_rows=2)), None, store)

    one, two = contract_history(store.list())

    assert (one.version, one.first, one.last, one.snapshots) == ("1.0", first.id, second.id, 2)
    assert (two.version, two.first, [c.what for c in two.changes]) == (
        "1.1",
        third.id,
        ["min_rows 1 became 2"],
    )


def judged(new: DataContract, *features: str) -> tuple[Outcome, str]:
    was = {column.name: str(TYPES[column.kind]) for column in CONTRACT.columns}
    needs = {"parcels@3 (Production)": ModelNeeds(features=features, columns=was)}
    verdict = compatibility(case(new), needs)
    return verdict.outcome, verdict.reasons[0].message


def test_a_model_whose_column_goes_or_is_retyped_is_named() -> None:
    gone = judged(changed(columns=CONTRACT.columns[:-1]), "weight_kg", "zone")
    retyped = judged(changed(columns=column("weight_kg", kind="int")), "weight_kg", "zone")

    assert gone == (
        Outcome.FAIL,
        "parcels@3 (Production) needs zone: column zone is gone, it was String",
    )
    assert retyped == (
        Outcome.FAIL,
        "parcels@3 (Production) needs weight_kg: column weight_kg is Int64, it was Float64",
    )


def test_a_model_that_does_not_use_the_column_is_not_broken() -> None:
    assert judged(changed(columns=CONTRACT.columns[:-1]), "weight_kg")[0] is Outcome.PASS
    assert judged(changed(columns=column("weight_kg", le=60)), "weight_kg")[0] is Outcome.PASS


def test_a_model_whose_feature_nobody_defines_any_more_is_broken() -> None:
    outcome, message = judged(CONTRACT, "colour")

    assert outcome is Outcome.FAIL
    assert "colour is no feature of parcels any more" in message


def test_a_model_whose_snapshot_is_gone_is_in_doubt_and_no_model_is_no_doubt() -> None:
    unknown = compatibility(case(CONTRACT), {"parcels@1": ModelNeeds(features=("zone",), columns=None)})

    assert unknown.outcome is Outcome.INCONCLUSIVE
    assert compatibility(case(CONTRACT), {}).passed


def test_a_view_may_read_any_column_so_that_a_lost_one_leaves_doubt() -> None:
    view = use_case.features.views[0]
    columns = {c.name: str(TYPES[c.kind]) for c in use_case.contract.columns}

    def outcome(**lost: str) -> Outcome:
        needs = ModelNeeds(features=(view.features[0].name,), columns={**columns, **lost})
        return compatibility(use_case, {"credit@1": needs}).outcome

    assert outcome(bank_name="String") is Outcome.INCONCLUSIVE
    assert outcome(**{view.entity: "Int64"}) is Outcome.FAIL
    assert outcome() is Outcome.PASS
