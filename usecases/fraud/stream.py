"""The made-up payments as a stream: events in the order in which they arrive, features pushed online.

Each event is taken when it arrives, hours late or overtaken by others. The job keeps the sliding sums of
`live.LiveSums` and pushes what changed to the feature store, which lets no older row replace a newer one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import polars as pl

from modelway.errors import InputError
from modelway.features.definitions import FeatureView
from modelway.features.join import TIME
from modelway.features.store import FeatureStore
from modelway.usecase import UseCase
from usecases.fraud.history import KINDS, PUBLICATION_LAG, VIEWS, happenings, published
from usecases.fraud.live import LiveSums, Row
from usecases.fraud.windows import GAP

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A purchase or a charge-back at the moment it comes in. Times are microseconds since 1970."""

    known_us: int
    at_us: int
    card_id: str
    merchant_id: str | None
    cents: int | None
    """What the purchase came to; None for a charge-back."""

    @property
    def values(self) -> dict[str, int]:
        """What it adds to sums, by name."""
        return {"chargebacks": 1} if self.cents is None else {"purchases": 1, "trade": 1, "cents": self.cents}


def arrivals(history: pl.LazyFrame) -> Iterator[Arrival]:
    """Purchases and charge-backs in the order in which they came in.

    Args:
        history: Cleaned rows, in any order.
    """
    facts = [frame for _, frame in happenings(history, "merchant_id", also=("card_id",))]
    bought, disputed = facts[0], facts[-1].with_columns(pl.lit(None, pl.Int64).alias("cents"))
    names = ("known_at", "at", "card_id", "merchant_id", "cents")
    both = pl.concat([bought.select(names), disputed.select(names)]).sort("known_at", maintain_order=True)
    micros = both.with_columns(pl.col("known_at", "at").cast(TIME).dt.epoch("us"))
    for row in micros.collect().iter_rows():
        yield Arrival(*row)


class StreamJob:
    """Takes events as they arrive and keeps the online store up to date."""

    def __init__(self, store: FeatureStore, use_case: UseCase) -> None:
        """Start with nothing known and nothing pushed.

        Args:
            store: Where features go.
            use_case: `fraud`, or one with its views.
        """
        store.apply(use_case)
        self._push = partial(store.push, use_case)
        self._sums = {
            view.name: LiveSums(KINDS[view.entity], with_gap=view.entity == "card_id") for view in VIEWS
        }
        self._waiting: dict[str, dict[str, Row]] = {view.name: {} for view in VIEWS}
        self._done_us = 0

    def take(self, arrival: Arrival) -> None:
        """Note an event. It shows online once `publish` passes its arrival and the publication lag.

        Raises:
            InputError: What was true at its arrival has been published already.
        """
        if arrival.known_us <= self._done_us:
            raise InputError(
                f"an event of {_moment(arrival.known_us)} came after {_moment(self._done_us)} was published",
                expected="events in the order in which they arrive",
                remedy="stamp an event with the moment at which this job receives it",
            )
        for view in VIEWS:
            entity = getattr(arrival, view.entity)
            purchase_of_card = arrival.cents is not None or view.entity != "card_id"
            if entity is not None and purchase_of_card:
                self._sums[view.name].take(entity, arrival.at_us, arrival.known_us, arrival.values)

    def publish(self, now: datetime) -> int:
        """Push what readers may find at `now`: for each card and merchant that changed, its newest row.

        What could not be pushed is kept, and goes with the next call.

        Returns:
            How many rows were pushed.

        Raises:
            StorageError: The store cannot be written.
        """
        for view, rows in self._advance(now):
            self._waiting[view.name] |= {str(row["entity"]): row for row in rows}
        return sum(self._pushed(view) for view in VIEWS)

    def pass_over(self, now: datetime) -> None:
        """Bring the sums to `now` and push nothing: the store has been materialised for that moment."""
        self._advance(now)

    def _pushed(self, view: FeatureView) -> int:
        waiting = self._waiting[view.name]
        if not waiting:
            return 0
        count: int = self._push(view.name, newest_rows(view, list(waiting.values())))
        self._waiting[view.name] = {}
        return count

    def _advance(self, now: datetime) -> list[tuple[FeatureView, list[Row]]]:
        self._done_us = max(self._done_us, (now - PUBLICATION_LAG - _EPOCH) // timedelta(microseconds=1))
        return [(view, self._sums[view.name].advance(self._done_us)) for view in VIEWS]


def newest_rows(view: FeatureView, rows: list[Row]) -> pl.DataFrame:
    """Of each entity the last row, as the view's `compute` gives it.

    Args:
        view: Whose rows.
        rows: In order of their moments.
    """
    newest = {str(row["entity"]): row for row in rows}
    frame = pl.DataFrame(list(newest.values()), schema_overrides={GAP: pl.Float64} if _has_gap(view) else {})
    moments = pl.from_epoch("moment", time_unit="us").dt.replace_time_zone("UTC")
    sums = frame.with_columns(moments).rename({"entity": view.entity})
    return published(sums.lazy()).collect()


def replay(job: StreamJob, events: Iterator[Arrival], *, every: timedelta) -> int:
    """Take all events, publishing at every step of the stream's own clock, and once after the last.

    Returns:
        How many rows were pushed.
    """
    pushed, due = 0, None
    for event in events:
        moment = _moment(event.known_us)
        due = due or moment + every
        while moment >= due:
            pushed += job.publish(due)
            due += every
        job.take(event)
    return pushed + (job.publish(due + PUBLICATION_LAG) if due else 0)


def _has_gap(view: FeatureView) -> bool:
    return any(feature.sql == GAP for feature in view.features)


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)
