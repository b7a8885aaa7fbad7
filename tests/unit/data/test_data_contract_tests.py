import subprocess
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
    """Run every test function of the file in this process' Python; how many fail."""
    program = (
        "import runpy, sys; sys.path.insert(0, sys.argv[1]); found = runpy.run_path(sys.argv[2])\n"
        "failed = 0\n"
        "for name in [n for n in found if n.startswith('test_')]:\n"
        "    try: found[name]()\n"
        "    except AssertionError: failed += 1\n"
        "print(failed)"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).parent), str(target)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=240).stdout)


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
def test_a_contract_that_changes_fails_the_test_of_what_changed(tmp_path, was, becomes) -> None:
    target = tmp_path / "test_contract.py"
    written(target, parcels(4))
    case = (Path(__file__).parent / "parcels_case.py").read_text()
    assert was in case
    (tmp_path / "other_case.py").write_text(case.replace(was, becomes, 1))
    there = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{IMPORT.replace('parcels_case', 'other_case')}"
    )
    target.write_text(target.read_text().replace(IMPORT, there))

    assert failures(target) == 1


def test_the_row_with_the_fewest_notes_is_the_sound_one(tmp_path) -> None:
    target = tmp_path / "test_contract.py"

    written(target, parcels(3, weight_kg=[99.0, 0.0, 3.5], zone=["north", "south", "south"]))

    assert '"weight_kg": 3.5' in target.read_text()


def test_a_table_without_a_sound_row_gives_no_tests(tmp_path) -> None:
    with pytest.raises(ContractError, match="no row of memory is sound"):
        written(tmp_path / "test_contract.py", parcels(2, arrived_at=[DAY0.replace(year=2000)] * 2))
    assert not list(tmp_path.iterdir())
