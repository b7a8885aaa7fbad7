from uuid import uuid4

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parcels_case import ParcelUseCase, parcels
from scipy.stats import ks_2samp

from modelway.data.distributions import Shift, shifts
from modelway.data.ingest import ingest
from modelway.data.snapshot import FolderSnapshotStore


def compared(store, old: pl.DataFrame, new: pl.DataFrame) -> dict[str, Shift]:
    a, b = (ingest(ParcelUseCase(frame), None, store) for frame in (old, new))
    return {s.name: s for s in shifts(a, b, store.scan(a.id), store.scan(b.id))}


def test_equal_tables_lie_at_no_distance_and_nothing_moved(store) -> None:
    found = compared(store, parcels(200), parcels(200))

    assert {shift.distance for shift in found.values()} == {0.0}
    assert not any(shift.moved for shift in found.values())


def test_the_key_is_not_compared(store) -> None:
    assert "parcel" not in compared(store, parcels(4), parcels(5))


def test_a_number_that_grew_is_named_with_its_distance(store) -> None:
    heavy = parcels(200, weight_kg=[20.0 + n % 10 for n in range(200)])

    found = compared(store, parcels(200), heavy)["weight_kg"]

    assert (found.distance, found.moved) == (1.0, True)
    assert (found.typical_old, found.typical_new) == ("6", "24.5")


def test_a_category_that_took_over_is_named_by_hand_counted_distance(store) -> None:
    north = parcels(200, zone=["north"] * 150 + ["south"] * 50)  # half and half before

    found = compared(store, parcels(200), north)["zone"]

    assert found.distance == pytest.approx(0.25)
    assert (found.measure, found.moved, found.typical_new) == ("total variation", True, "north")


def test_a_column_that_lost_its_values_moved_though_those_left_lie_alike(store) -> None:
    holes = parcels(200, weight_kg=[None if n < 100 else 1.5 + n % 10 for n in range(200)])

    found = compared(store, parcels(200), holes)["weight_kg"]

    assert (found.null_share_old, found.null_share_new) == (0.0, 0.5)
    assert found.distance == pytest.approx(0.0)
    assert found.moved


def test_a_column_without_any_value_has_no_distance(store) -> None:
    found = compared(store, parcels(50), parcels(50, weight_kg=[None] * 50))["weight_kg"]

    assert (found.distance, found.p_value, found.typical_new) == (None, None, None)
    assert found.moved, "all its nulls are new"


def test_what_chance_explains_is_not_named(store) -> None:
    few = parcels(6, weight_kg=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    other = parcels(6, weight_kg=[2.5, 3.5, 4.5, 5.5, 6.5, 7.5])

    found = compared(store, few, other)["weight_kg"]

    assert found.distance == pytest.approx(2 / 6)
    assert not found.moved


weights = st.lists(st.floats(0, 50).map(lambda value: round(value, 1)), min_size=1, max_size=40)


@pytest.mark.filterwarnings("ignore:divide by zero")  # SciPy's own, for its p-value of one value
@settings(max_examples=30, deadline=None)
@given(old=weights, new=weights)
def test_the_distance_is_scipys(old, new) -> None:
    store = FolderSnapshotStore(f"memory://{uuid4()}")
    found = compared(store, parcels(len(old), weight_kg=old), parcels(len(new), weight_kg=new))["weight_kg"]

    assert found.distance == pytest.approx(ks_2samp(np.array(old), np.array(new), method="asymp").statistic)
