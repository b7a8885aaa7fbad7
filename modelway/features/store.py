"""The feature store of a stack: Feast repositories below one root, one per use case.

Feast owns definitions, registry and the online read. What it gets wrong or does slowly is done here and in
`online.py` and `online_redis.py`: rows are written packed, they count from the day they were published, an
older event never replaces a newer one, and a value past its time to live is missing.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from modelway.contract import Verdict
from modelway.errors import EmptyWindowError, NotFoundError
from modelway.features.by_key import SUBJECT, online_views, recent_enough
from modelway.features.definitions import FeatureView
from modelway.features.feast_border import definitions, feast_errors, open_feast, read_chunk
from modelway.features.join import TIME
from modelway.features.names import project_name
from modelway.features.packed import newest_rows
from modelway.features.repository import CONFIG_FILE, ONLINE_DATABASE, offline_file, write_repository
from modelway.features.skew import Lookup, nothing_online, skew_of
from modelway.features.values import view_rows
from modelway.usecase import UseCase

READ_CHUNK = 5_000
"""Entities per online read: SQLite takes no more than 32,766 parameters in one statement."""


class FeatureStore:
    """Online and offline features of every use case, below one folder."""

    def __init__(self, root: Path | str, *, redis: str | None = None) -> None:
        """Name the folder. Creates nothing and connects to nothing.

        Args:
            root: Feast repositories go below it; online values too, as SQLite, unless `redis` is given.
            redis: Redis or Valkey server of the online values, as Feast spells it: `host:port,db=0,…`.
        """
        self.root, self.redis = Path(root), redis
        self._open: dict[str, Any] = {}

    def folder(self, use_case: UseCase) -> Path:
        """The use case's Feast repository: `feast -c FOLDER …` works on it."""
        return self.root / project_name(use_case)

    def online_file(self, use_case: UseCase) -> Path:
        """SQLite file of the online values, unless they are in Redis; what servers get as `online_store`."""
        return self.folder(use_case) / ONLINE_DATABASE

    def apply(self, use_case: UseCase) -> None:
        """Write the Feast repository and register its definitions. Repeatable; dropped views go.

        Raises:
            StorageError: The folder cannot be written.
        """
        folder = self.folder(use_case)
        with feast_errors(f"applying the features of {use_case.name}"):
            write_repository(use_case, folder, self.redis)
            feast = self._feast(use_case, reopen=True)
            kept = {view.name for view in online_views(use_case)}
            dropped = [view for view in feast.list_feature_views() if view.name not in kept]
            feast.apply([*definitions(folder), *dropped], objects_to_delete=dropped, partial=not dropped)

    def materialise(
        self, use_case: UseCase, history: pl.LazyFrame, *, as_of: datetime, restart: bool = False
    ) -> int:
        """Bring the online store to what was published by `as_of`.

        Also leaves every published row as the offline source below the repository. An `as_of` before
        that of an earlier call changes nothing online: newest wins. To replay from an earlier day,
        say `restart`: online values are forgotten once it is sure that there are others.

        Returns:
            How many (view, entity) pairs have a published row.

        Raises:
            EmptyWindowError: A view has published nothing by `as_of`.
            ContractError: The history lacks a column that a view is computed from.
            StorageError: The folder cannot be written.
        """
        as_of = _utc(as_of)
        published = {
            view: _published(view, recent_enough(view, history, as_of), as_of)
            for view in online_views(use_case)
        }
        if restart:
            self.clear(use_case)
        self.apply(use_case)
        with feast_errors(f"materialising the features of {use_case.name}"):
            for view, rows in published.items():
                if rows.is_empty():
                    continue
                _replace(self.folder(use_case) / offline_file(view), rows)
                self._write(use_case, view, newest_rows(rows, view.entity), until=as_of)
        return sum(rows[view.entity].n_unique() for view, rows in published.items())

    def push(self, use_case: UseCase, view_name: str, computed: pl.DataFrame) -> int:
        """Write rows of a view online as they come to be, as a stream job does. Newest wins, in any order.

        Args:
            use_case: Whose store; it was applied before.
            view_name: Which view.
            computed: What the view's `compute` would give: its entity, both clocks and the columns that its
                features are made of. Rows without an entity or a clock are left out.

        Returns:
            How many rows were handed to the store.

        Raises:
            NotFoundError: The use case has no such view, or was never applied here.
            ContractError: A column that the view needs is missing.
            StorageError: The store cannot be written.
        """
        view = _view(use_case, view_name)
        as_given = view.model_copy(update={"compute": lambda _: computed.lazy()})
        keys = [view.entity, "event_time", "known_at"]
        rows = view_rows(as_given, computed.lazy()).drop_nulls(keys).collect()
        with feast_errors(f"pushing to {view_name} of {use_case.name}"):
            if rows.height:
                self._write(use_case, view, rows)
        return rows.height

    def _write(
        self, use_case: UseCase, view: FeatureView, rows: pl.DataFrame, until: datetime | None = None
    ) -> None:
        """The one way in for values of ours; `until` is noted in Feast's registry, as its own would."""
        feast = self._feast(use_case)
        table = feast.get_feature_view(view.name)
        feast.provider.online_store.write_rows(feast.config, table, rows)
        if until is not None:
            first = rows.select(pl.col("event_time").min()).item()
            feast.registry.apply_materialization(table, feast.project, min(first, until), until)

    def read(
        self, use_case: UseCase, view_name: str, entity_values: Sequence[str | None], *, at: datetime
    ) -> pl.DataFrame:
        """Online values of a view, one row per given entity, in the order given.

        Args:
            use_case: Whose store.
            view_name: Which view.
            entity_values: E.g. state codes; may repeat. None finds nothing.
            at: The moment of the row they are for: a value older than the view's TTL then, or that
                happened or became known after it, is missing.

        Returns:
            The entity, `event_time` of the value (null when missing) and the features.

        Raises:
            NotFoundError: The use case has no such view, or was never materialised here.
        """
        view = _view(use_case, view_name)
        known = _fresh(self._stored(use_case, view, entity_values), view, _utc(at)).drop("known_at")
        asked = pl.DataFrame({view.entity: entity_values}, schema={view.entity: pl.String})
        return asked.join(known, on=view.entity, how="left", maintain_order="left")

    def _stored(
        self, use_case: UseCase, view: FeatureView, entity_values: Sequence[str | None]
    ) -> pl.DataFrame:
        """What is stored of each entity, with both clocks, whenever it happened."""
        distinct = sorted({value for value in entity_values if value is not None})
        with feast_errors(f"reading {view.name} of {use_case.name}"):
            feast = self._feast(use_case)
            chunks = [distinct[i : i + READ_CHUNK] for i in range(0, len(distinct), READ_CHUNK)]
            found = [row for chunk in chunks for row in read_chunk(feast, view, chunk)]
        return pl.DataFrame(found, schema=_schema(view), orient="row")

    def skew(
        self, use_case: UseCase, history: pl.LazyFrame, *, as_of: datetime, sample: int = 200
    ) -> Verdict:
        """Whether the online store answers what the as-of join gives, for sampled entities of each view.

        INCONCLUSIVE where nothing could be compared: no view, nothing published, never materialised,
        or materialised for a later day than `as_of`.
        """
        verdicts = [
            skew_of(
                view,
                recent_enough(view, history, _utc(as_of)),
                self._lookup(use_case, view),
                as_of=_utc(as_of),
                sample=sample,
            )
            for view in online_views(use_case)
        ]
        return Verdict.all_of(verdicts) if verdicts else nothing_online(use_case.name)

    def _lookup(self, use_case: UseCase, view: FeatureView) -> Lookup:
        def read(values: Sequence[str], at: datetime) -> pl.DataFrame:
            return self.read(use_case, view.name, values, at=at)

        def overtaken(values: Sequence[str], at: datetime) -> Sequence[str]:
            stored = self._stored(use_case, view, values)
            newer = pl.max_horizontal("event_time", "known_at") > pl.lit(at).cast(TIME)
            return stored.filter(newer)[view.entity].to_list()

        until = self.materialised_until(use_case, view.name)
        return Lookup(read=read, overtaken=overtaken, materialised_until=until)

    def materialised_until(self, use_case: UseCase, view_name: str) -> datetime | None:
        """The latest `as_of` that the view was materialised for; None when never."""
        view = _view(use_case, view_name)
        if not (self.folder(use_case) / CONFIG_FILE).is_file():
            return None
        with feast_errors(f"looking up {view_name} of {use_case.name}"):
            until = self._feast(use_case).get_feature_view(view.name).most_recent_end_time
        return _utc(until) if until else None

    def clear(self, use_case: UseCase) -> None:
        """Forget every online value, so that a replay can start at an earlier day."""
        folder = self.folder(use_case)
        if not (folder / CONFIG_FILE).is_file():
            return
        with feast_errors(f"clearing the features of {use_case.name}"):
            self._feast(use_case).teardown()
            self._open.pop(use_case.name, None)
            (folder / "registry.db").unlink(missing_ok=True)

    def _feast(self, use_case: UseCase, *, reopen: bool = False) -> Any:
        if reopen or use_case.name not in self._open:
            self._open[use_case.name] = open_feast(use_case, self.folder(use_case))
        return self._open[use_case.name]


def _view(use_case: UseCase, name: str) -> FeatureView:
    views = online_views(use_case)
    for view in views:
        if view.name == name:
            return view
    names = ", ".join(view.name for view in views)
    raise NotFoundError(
        f"{use_case.name} has no feature view {name!r}", expected=f"one of: {names or '(it has none)'}"
    )


def _published(view: FeatureView, history: pl.LazyFrame, as_of: datetime) -> pl.DataFrame:
    """The view's rows that could be read on the day `as_of`."""
    moment = pl.lit(as_of).cast(TIME)
    known = (pl.col("event_time") <= moment) & (pl.col("known_at") <= moment)
    rows = view_rows(view, history).filter(known).drop_nulls(view.entity).collect()
    if (
        rows.is_empty() and view.name != SUBJECT
    ):  # no recent subject is no fault: there is nobody to ask about
        raise EmptyWindowError(
            f"view {view.name} had published nothing by {as_of:%Y-%m-%d}",
            expected="a date after the first month of history",
            remedy="choose a later --as-of date, or ingest more history",
        )
    return rows


def _replace(path: Path, rows: pl.DataFrame) -> None:
    beside = path.with_suffix(".tmp")
    rows.write_parquet(beside)
    beside.replace(path)


def _fresh(found: pl.DataFrame, view: FeatureView, at: datetime) -> pl.DataFrame:
    """Without what has expired by `at`, and what happened or became known after it: Feast returns all."""
    moment = pl.lit(at).cast(TIME)
    expired = moment - pl.col("event_time") > timedelta(days=view.ttl_days)
    return found.filter((pl.max_horizontal("event_time", "known_at") <= moment) & ~expired)


def _schema(view: FeatureView) -> dict[str, Any]:
    types = {"numeric": pl.Float32, "category": pl.String}
    values = {feature.name: types[feature.kind] for feature in view.features}
    return {view.entity: pl.String, "event_time": TIME, "known_at": TIME, **values}


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
