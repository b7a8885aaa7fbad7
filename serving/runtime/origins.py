"""Columns of the prediction log that say where features and answers came from."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelway.bundle.bundle import Bundle
from modelway.bundle.online import entity_columns, online_features

if TYPE_CHECKING:
    from serving.runtime.masks import Masks
    from serving.runtime.parsed import Parsed
    from serving.runtime.prediction_log import Entry
    from serving.runtime.prediction_table import Arrays

FALLBACK, FEATURES_FROM = "_fallback", "_features_from"
KEY = "_key_"
"""Begins the name of a column of ids: they are texts, and no inputs."""


class Origins:
    """What one bundle's log says of origins: nothing where it has neither rule nor online features."""

    def __init__(self, bundle: Bundle) -> None:
        """Decide which columns there are."""
        online = online_features(bundle) if bundle.policy.by_key else None
        self._views = () if online is None else tuple(view.name for view in online.all)
        self._rule = bundle.policy.fallback is not None
        self._ids = entity_columns(bundle)

    def columns(self, arrays: "Arrays", entries: "Sequence[Entry]", masks: "Masks") -> Mapping[str, Any]:
        """Arrow arrays by name, one value a row; ids as the policy masks them."""
        requests = [entry.request for entry in entries]
        columns = {FALLBACK: arrays.strings(list(_fallbacks(requests)))} if self._rule else {}
        if self._views:
            columns[FEATURES_FROM] = arrays.strings(list(_sources(requests)))
        for name in self._ids:
            columns[KEY + name] = arrays.strings(masks.ids(name, list(_ids(requests, name))))
        return columns | {f"_at_{view}": arrays.moments(list(_times(requests, view))) for view in self._views}


def _fallbacks(requests: "Sequence[Parsed]") -> Iterator[str | None]:
    for request in requests:
        why = request.fallbacks or {}
        yield from (why.get(at) for at in range(request.rows))


def _sources(requests: "Sequence[Parsed]") -> Iterator[str]:
    for request in requests:
        yield from ["request" if request.stored is None else "store"] * request.rows


def _ids(requests: "Sequence[Parsed]", name: str) -> "Iterator[str | None]":
    for request in requests:
        yield from (request.entities or {}).get(name) or [None] * request.rows


def _times(requests: "Sequence[Parsed]", view: str) -> Iterator[int | None]:
    for request in requests:
        stored = request.stored
        if stored is None or view not in stored.views:
            yield from [None] * request.rows
        else:
            yield from stored.event_times_us[stored.views.index(view)]
