import polars as pl
import pytest
from parcels_case import ParcelUseCase, parcels

from modelway.contract import Outcome, Slice
from modelway.data.conformance import check_use_case
from modelway.features.definitions import Feature, FeatureSet


def _outcomes(use_case) -> dict[str, Outcome]:
    return {reason.metric: reason.outcome for reason in check_use_case(use_case).reasons}


@pytest.fixture
def use_case() -> ParcelUseCase:
    return ParcelUseCase(parcels(300))


def test_a_sound_use_case_passes_and_says_what_was_not_tried(use_case) -> None:
    verdict = check_use_case(use_case)

    assert verdict.outcome is Outcome.PASS, verdict.summary()
    assert verdict.evidence["not_tried"] == ["train", "parity", "bundle", "serve"]


@pytest.mark.parametrize(
    ("attribute", "value", "check"),
    [
        pytest.param("features", FeatureSet(row=(Feature(name="colour"),)), "features", id="unknown-column"),
        pytest.param("features", FeatureSet(row=(Feature(name="late"),)), "forbidden", id="forbidden-column"),
        pytest.param("slices", (Slice(name="s", column="parcel"),), "slices", id="slice-is-no-feature"),
        pytest.param("candidates", (), "candidates", id="nothing-to-train"),
    ],
)
def test_a_declaration_that_does_not_fit_fails_before_any_data_is_read(
    use_case, attribute, value, check
) -> None:
    setattr(use_case, attribute, value)

    found = _outcomes(use_case)

    assert found[check] is Outcome.FAIL
    assert "ingest" not in found


def test_a_leak_in_a_column_fails(use_case) -> None:
    late = parcels(300)["late"].to_list()
    use_case.chunks = (
        parcels(300, weight_kg=[20.0 + n % 5 if is_late else n % 20 for n, is_late in enumerate(late)]),
    )

    assert _outcomes(use_case)["leak probe: weight_kg"] is Outcome.FAIL


def test_a_leak_in_a_computed_feature_fails(use_case) -> None:
    use_case.features = FeatureSet(
        row=(
            Feature(name="weight_kg"),
            Feature(name="leaky", sql="CAST(zone = 'north' AS FLOAT) + weight_kg"),
        )
    )
    rows = parcels(300)
    # The sum is 2 for a late parcel and 1 for one in time; the weight alone says it for half of them.
    north, late = (rows["zone"] == "north").cast(int), rows["late"].cast(int)
    weights = (1 + late - north).cast(float).to_list()
    use_case.chunks = (parcels(300, weight_kg=weights),)

    found = _outcomes(use_case)

    assert "leak probe: zone" not in found
    assert found["leak probe: leaky"] is Outcome.FAIL


def test_rows_known_before_they_happen_fail(use_case) -> None:
    use_case.chunks = (parcels(300).with_columns(known_at=pl.col("known_at").dt.offset_by("-1d")),)

    assert _outcomes(use_case)["two clocks"] is Outcome.FAIL


def test_one_class_fails(use_case) -> None:
    use_case.chunks = (parcels(300, late=[False] * 300),)

    assert _outcomes(use_case)["label"] is Outcome.FAIL


def test_a_column_without_a_value_that_is_a_feature_fails_at_the_training_set(use_case) -> None:
    use_case.chunks = (parcels(300, weight_kg=[None] * 300),)

    found = _outcomes(use_case)

    assert found["ingest"] is Outcome.PASS
    assert found["training set"] is Outcome.FAIL


def test_too_few_rows_for_the_leak_probe_are_inconclusive(use_case) -> None:
    use_case.chunks = (parcels(40),)

    assert check_use_case(use_case).outcome is Outcome.INCONCLUSIVE


def test_data_that_cannot_be_read_fails_with_the_reason() -> None:
    verdict = check_use_case(ParcelUseCase(), "elsewhere")

    assert verdict.outcome is Outcome.FAIL
    assert "no source elsewhere" in verdict.summary()


def test_a_source_that_changes_from_read_to_read_fails(use_case) -> None:
    reads = iter((300, 299))
    use_case.load = lambda _source: iter([parcels(next(reads))])

    assert _outcomes(use_case)["repeatable"] is Outcome.FAIL
