import runpy
import sys
from pathlib import Path

import pytest
from parcels_case import DAY0, ParcelUseCase, parcels

from modelway.data.contract_tests import write_contract_tests
from modelway.errors import ContractError

IMPORT = "from parcels_case import ParcelUseCase\n\nuse_case = ParcelUseCase()"


def written(target: Path, *frames) -> tuple[set[str], dict[str, str]]:
    found = write_contract_tests(ParcelUseCase(*frames), None, target, how=IMPORT)
    return set(found.tested), dict(found.left_out)


def failures(target: Path) -> int:
    """Run every test function of the file; how many fail."""
    failed = 0
    for name, test in runpy.run_path(str(target)).items():
        if name.startswith("test_"):
            try:
                test()
            except AssertionError:
                failed += 1
    return failed


def test_each_column_and_rule_has_its_test_and_they_pass(tmp_path) -> None:
    target = tmp_path / "test_contract.py"

    tested, left_out = written(target, parcels(4))

    assert tested == {
        "a sound row",
        "parcel_that_is_empty",
        "event_time_that_is_empty",
        "known_at_that_is_empty",
        "weight_kg_below_its_range",
        "weight_kg_above_its_range",
        "rule_arrived_before_sent",
        "rule_zone_code",
        "rule_weightless",
    }
    assert left_out == {"zone:isin(['north', 'south'])": "found as zone_code instead"}
    assert failures(target) == 0


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        pytest.param("ge=0, le=50", "ge=0, le=90", id="range"),
        pytest.param(
            'Column(name="parcel", kind="string")',
            'Column(name="parcel", kind="string", nullable=True)',
            id="null",
        ),
        pytest.param("arrived_at < event_time", "arrived_at < known_at AND weight_kg > 49", id="rule"),
        pytest.param('action="repair"', 'action="quarantine"', id="action"),
    ],
)
def test_a_contract_that_changes_fails_the_test_of_what_changed(tmp_path, monkeypatch, was, becomes) -> None:
    target = tmp_path / "test_contract.py"
    written(target, parcels(4))
    case = (Path(__file__).parent / "parcels_case.py").read_text()
    assert was in case
    (tmp_path / "other_case.py").write_text(case.replace(was, becomes, 1))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "other_case", raising=False)
    target.write_text(target.read_text().replace(IMPORT, IMPORT.replace("parcels_case", "other_case")))

    assert failures(target) == 1


def test_the_row_with_the_fewest_notes_is_the_sound_one(tmp_path) -> None:
    target = tmp_path / "test_contract.py"

    written(target, parcels(3, weight_kg=[99.0, 0.0, 3.5], zone=["north", "south", "south"]))

    assert '"weight_kg": 3.5' in target.read_text()


def test_a_table_without_a_sound_row_gives_no_tests(tmp_path) -> None:
    with pytest.raises(ContractError, match="no row of memory is sound"):
        written(tmp_path / "test_contract.py", parcels(2, arrived_at=[DAY0.replace(year=2000)] * 2))
    assert not list(tmp_path.iterdir())
