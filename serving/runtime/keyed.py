"""Requests by key: what a client leaves out comes from the online store, before the model is asked.

given columns ─┐
key ─▶ subject's row ─▶ entities ─▶ feature views ─▶ one row of numbers ─▶ the rest of the chain
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from modelway.bundle.bundle import Bundle
from modelway.bundle.online import OnlineFeatures, OnlineView, online_features
from modelway.bundle.policy import ByKey
from serving.runtime.columns import Columns, Value
from serving.runtime.exchange import Exchange, Scorer
from serving.runtime.notes import Notes, announce
from serving.runtime.online_redis import RedisOnlineStore
from serving.runtime.online_store import OnlineStore, StoredRow, whole
from serving.runtime.parsed import Parsed, Stored, checked_row, is_text, matrix_of
from serving.runtime.problems import KeyRefusedError, shown
from serving.runtime.redis_server import RedisServer

Reason = Literal["missing", "stale"]
_MICROSECONDS = 1_000_000
_DAY_S = 86_400
_NOT_FOUND, _CONFLICT = 404, 409


class Store(Protocol):
    """Where stored features are read."""

    @property
    def reached(self) -> bool:
        """Whether it answered lately."""

    def watch(self) -> None:
        """Go on finding out."""

    def read(self, view: OnlineView, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        """What one view holds of some entities; those it does not know are left out.

        Raises:
            StoreError: It cannot be read.
        """


class KeyReader:
    """Fills the rows of requests by key."""

    def __init__(self, columns: Columns, features: OnlineFeatures, store: Store, policy: ByKey) -> None:
        """Prepare; tells `columns` what a request may leave out."""
        self._columns, self._features, self.store, self._policy = columns, features, store, policy
        columns.read_from_store({name: view.entity for view in features.all for name in view.features})

    def fill(self, parsed: Parsed) -> None:
        """Complete a request that names its subjects.

        Raises:
            KeyRefusedError: A key, or what belongs to it, is unknown or too old, and the policy rejects that.
            RequestError: A given value is of the wrong kind.
            StoreError: The store cannot be read.
        """
        _Filling(parsed, self._columns, self.store, self._policy).fill(self._features)


def key_reader(bundle: Bundle, columns: Columns, place: RedisServer | Path | None) -> KeyReader | None:
    """The reader that a bundle asks for, where this server was given a store; else None.

    Raises:
        ConfigError: The file is no online store, or the address none of a Redis.
    """
    features, policy = online_features(bundle), bundle.policy.by_key
    if features is None or policy is None or place is None:
        return None
    store = RedisOnlineStore(place) if isinstance(place, RedisServer) else OnlineStore(place)
    return KeyReader(columns, features, store, policy)


def by_key(reader: KeyReader, inner: Scorer) -> Scorer:
    """Ask the store first, then the rest of the chain."""

    def score(exchange: Exchange) -> None:
        parsed = exchange.parsed
        if parsed.by_key is not None:
            reader.fill(parsed)
            announce(exchange, _notes(parsed))
        inner(exchange)

    return score


def _notes(parsed: Parsed) -> Notes:
    notes: dict[str, str | float] = {"features_from": "store"}
    age_s = oldest_age_s(parsed, time.time_ns() // 1000)
    return notes if age_s is None else notes | {"features_age_s": age_s}


def oldest_age_s(parsed: Parsed, now_us: int) -> float | None:
    """Age of the oldest stored value that was used, at the moment of its row, seconds; None without any."""
    stored = parsed.stored
    if stored is None:
        return None
    moments = _moments(parsed, now_us)
    ages = [
        at - us
        for times in stored.event_times_us
        for at, us in zip(moments, times, strict=True)
        if us is not None
    ]
    return max(ages) / _MICROSECONDS if ages else None


def _moments(parsed: Parsed, now_us: int) -> list[int]:
    """The moment that each row is for: its event's where the request says it, else now."""
    sent = parsed.event_times_us or [None] * parsed.rows
    return [now_us if us is None else us for us in sent]


class _Filling:
    """One request being filled."""

    __slots__ = (
        "_columns",
        "_ids",
        "_moments",
        "_parsed",
        "_policy",
        "_raw",
        "_store",
        "_times",
        "_unusable",
    )

    def __init__(self, parsed: Parsed, columns: Columns, store: Store, policy: ByKey) -> None:
        self._parsed, self._columns, self._store, self._policy = parsed, columns, store, policy
        self._raw: dict[str, list[Any]] = dict(parsed.by_key or {})
        self._ids: Sequence[str | None] = parsed.entity_ids or [None] * parsed.rows
        self._moments = _moments(parsed, time.time_ns() // 1000)
        self._times: list[list[int | None]] = []
        self._unusable: dict[int, str] = {}

    def fill(self, features: OnlineFeatures) -> None:
        """Read each view that the request did not bring whole, and put its rows in matrix order."""
        read: list[str] = []
        for view in features.all:
            if any(name not in self._raw for name in view.features):
                self._view(view, is_subject=view is features.subject)
                read.append(view.name)
        self._encode()
        self._parsed.stored = Stored(tuple(read), self._times)
        self._parsed.fallbacks = self._unusable or None
        self._parsed.by_key = None

    def _view(self, view: OnlineView, *, is_subject: bool) -> None:
        own = is_subject or view.entity == self._columns.key
        entities = self._entities(view, own=own)
        asked = {name for name in entities if isinstance(name, str) and is_text(name)}
        known = self._store.read(view, sorted(asked))
        rows = [self._usable(view, at, entity, known, own=own) for at, entity in enumerate(entities)]
        for name in view.features:
            if name not in self._raw:
                self._raw[name] = [None if row is None else row.values[name] for row in rows]
        self._times.append([None if row is None else row.event_us for row in rows])

    def _entities(self, view: OnlineView, *, own: bool) -> Sequence[Value]:
        """What names each row's entry in a view: the key, an id that is no input, or an input."""
        if own:
            return self._ids
        ids = (self._parsed.entities or {}).get(view.entity)
        return self._raw[view.entity] if ids is None else ids

    def _usable(
        self, view: OnlineView, at: int, entity: Value, known: Mapping[str, StoredRow], *, own: bool
    ) -> StoredRow | None:
        """The row as of the request's moment, or what the policy says of there being none.

        As in the join of training a row counts from the later of its clocks on, and for its time to live from
        its event on. The store keeps no older row beside it: one that is not known yet is a missing one.
        """
        if entity is None and not own:
            return None  # the subject has no such entity: missing, as in training
        row = known.get(entity) if isinstance(entity, str) else None
        moment_us = self._moments[at]
        if row is None or moment_us < max(row.event_us, row.known_us):
            self._without("missing", self._policy.missing if own else self._policy.entity_missing, view, at)
            return None
        if moment_us - row.event_us > view.ttl_s * _MICROSECONDS:
            self._without("stale", self._policy.stale, view, at)
            return None
        return whole(view, row)

    def _without(self, reason: Reason, rule: str, view: OnlineView, at: int) -> None:
        if rule == "reject":
            raise self._refused(reason, view, at)
        if rule == "fallback":
            self._unusable.setdefault(at, reason)

    def _refused(self, reason: Reason, view: OnlineView, at: int) -> KeyRefusedError:
        named: dict[str, Value] = {self._columns.key: self._ids[at]}
        if view.entity != self._columns.key:
            named[view.entity] = self._entities(view, own=False)[at]
        whose = ", ".join(f"{name} {shown(value)}" for name, value in named.items() if value is not None)
        whose += "," if len(named) > 1 else ""
        if reason == "missing":
            message = (
                f"feature view {view.name} has nothing of {whose} at that time; send the columns themselves"
            )
            return KeyRefusedError(message, status=_NOT_FOUND)
        message = (
            f"feature view {view.name} has only values of {whose} that are older than its time to live, "
            f"{view.ttl_s / _DAY_S:g} days; send the columns themselves"
        )
        return KeyRefusedError(message, status=_CONFLICT)

    def _encode(self) -> None:
        columns, parsed = self._columns, self._parsed
        encoded = [columns.encode(at, self._raw[name]) for at, name in enumerate(columns.names)]
        if parsed.rows == 1:
            parsed.values = checked_row([values[0] for values in encoded])
        else:
            rows = [value for row in zip(*encoded, strict=True) for value in row]
            parsed.values = matrix_of(rows, parsed.rows)
