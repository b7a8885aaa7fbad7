"""A small, complete use case: parcels that arrive late or not."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl

from modelway.contract import (
    Candidate,
    Column,
    CostMatrix,
    DataContract,
    Gates,
    LabelRule,
    RowRule,
    Slice,
    Slo,
)
from modelway.errors import SourceError
from modelway.features.definitions import Feature, FeatureSet

DAY0 = datetime(2024, 1, 1, tzinfo=UTC)


class ParcelUseCase:
    """Rows come from the test, not from a file."""

    name = "parcels"
    description = "is the parcel late?"
    default_source = "memory"
    contract = DataContract(
        version="1.0",
        key="parcel",
        columns=(
            Column(name="parcel", kind="string"),
            Column(name="event_time", kind="timestamp"),
            Column(name="known_at", kind="timestamp"),
            Column(name="arrived_at", kind="timestamp", nullable=True, known_from="arrived_at"),
            Column(name="late", kind="bool", nullable=True, known_from="arrived_at"),
            Column(name="weight_kg", kind="float", nullable=True, ge=0, le=50),
            Column(name="zone", kind="string", nullable=True, isin=("north", "south")),
        ),
        rules=(
            RowRule(
                name="arrived_before_sent",
                message="arrived before it was sent",
                violated="arrived_at < event_time",
                action="quarantine",
            ),
            RowRule(
                name="zone_code",
                message="zones are north or south",
                violated="zone NOT IN ('north', 'south')",
                action="repair",
                column="zone",
                repaired="NULL",
            ),
            RowRule(name="weightless", message="weight 0", violated="weight_kg = 0", action="note"),
        ),
        forbidden=("late",),
        max_quarantined_share=0.5,
        min_rows=1,
    )
    label = LabelRule(name="late", value="late", value_known_from="arrived_at")
    features = FeatureSet(row=(Feature(name="weight_kg"), Feature(name="zone", kind="category")))
    candidates = (Candidate(kind="hgb", space={}),)
    gates = Gates()
    slo = Slo(latency_limit_ms=50, rate_rps=10)
    costs = CostMatrix(false_positive=1, false_negative=1)
    slices: tuple[Slice, ...] = ()
    training_window_months = 12

    def __init__(self, *chunks: pl.DataFrame) -> None:
        self.chunks = chunks

    def load(self, source: str) -> Iterator[pl.DataFrame]:
        if source != "memory":
            raise SourceError(f"no source {source}")
        yield from self.chunks

    def clean(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw


def parcels(count: int = 4, *, first: int = 0, **columns: list[object]) -> pl.DataFrame:
    """`count` sound rows, one a day; arrival two days later; every third one late."""
    days = [DAY0 + timedelta(days=first + n) for n in range(count)]
    values: dict[str, list[object]] = {
        "parcel": [f"P{first + n}" for n in range(count)],
        "event_time": list(days),
        "known_at": list(days),
        "arrived_at": [day + timedelta(days=2) for day in days],
        "late": [n % 3 == 0 for n in range(count)],
        "weight_kg": [1.5 + n % 10 for n in range(count)],
        "zone": [("north", "south")[n % 2] for n in range(count)],
    }
    moment = pl.Datetime("us", "UTC")
    schema = {
        "parcel": pl.String(),
        "event_time": moment,
        "known_at": moment,
        "arrived_at": moment,
        "late": pl.Boolean(),
        "weight_kg": pl.Float64(),
        "zone": pl.String(),
    }
    return pl.DataFrame({**values, **columns}, schema=schema)
