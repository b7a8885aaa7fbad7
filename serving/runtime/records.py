"""Rows that come one by one: V1's instances and V2's records, objects by name or lists in order."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np

from serving.runtime.columns import EVENT_TIME, Columns
from serving.runtime.json_text import loads
from serving.runtime.parsed import (
    Parsed,
    checked_entity,
    checked_event_time,
    checked_ids,
    checked_row,
    matrix_of,
)
from serving.runtime.problems import RequestError

RECORDS = "records"
"""Name of the V2 tensor of BYTES whose values are JSON objects, one a row."""

_SCALARS = (float, int, str, type(None))


def objects(values: Sequence[Any]) -> list[Any]:
    """Records as JSON objects; a foreign client can only send them as text.

    Raises:
        RequestError: One is no JSON object.
    """
    read = [loads(value.encode()) if isinstance(value, str) else value for value in values]
    for at, value in enumerate(read):
        if not isinstance(value, dict):
            raise RequestError(f"{RECORDS}[{at}] must be a JSON object")
    return read


class Rows:
    """Makes rows of one model."""

    __slots__ = ("_columns",)

    def __init__(self, columns: Columns) -> None:
        """Know the model's columns."""
        self._columns = columns

    def parsed(self, instances: Sequence[Any], called: str) -> Parsed:
        """Rows in matrix order, with what is to be remembered of them.

        Args:
            instances: At least one list or mapping.
            called: What a message calls them.

        Raises:
            RequestError: One is no row of this model; the message says which and why.
        """
        if self._columns.stored and self._left_to_store(instances):
            parsed = self._by_key(instances, called)
        else:
            rows = [self._row(instance, f"{called}[{at}]") for at, instance in enumerate(instances)]
            parsed = self._scored(rows)
        self._remember(parsed, instances)
        return parsed

    def _left_to_store(self, instances: Sequence[Any]) -> bool:
        """Whether they are objects by name, each with its key, that leave out what the online store has."""
        columns = self._columns
        by_name = [instance for instance in instances if isinstance(instance, dict)]
        if len(by_name) < len(instances) or all(columns.names_in(instance) for instance in by_name):
            return False
        return all(columns.left_to_store(instance, keyed=columns.key in instance) for instance in by_name)

    def _by_key(self, instances: Sequence[Mapping[str, Any]], called: str) -> Parsed:
        names = [name for name in instances[0] if not self._columns.is_log_only(name)]
        for name in names:
            self._columns.position(name)
        for at, instance in enumerate(instances):
            if instance.keys() != instances[0].keys():
                raise RequestError(f"{called}[{at}] must hold the same columns as {called}[0]")
            if not all(isinstance(instance[name], _SCALARS) for name in names):
                raise RequestError(f"{called}[{at}] must hold numbers, strings, booleans or null")
        by_key = {name: [_or_none(row[name]) for row in instances] for name in names}
        return Parsed(len(instances), [], by_key=by_key)

    def _row(self, instance: Any, where: str) -> Sequence[Any]:
        if isinstance(instance, dict):
            row = self._by_name(instance)
        elif isinstance(instance, list):
            row = instance
        else:
            raise RequestError(f"{where} must be a list or an object")
        if len(row) != len(self._columns.names):
            raise RequestError(f"{where} must hold {len(self._columns.names)} values, found {len(row)}")
        if not all(isinstance(value, _SCALARS) for value in row):
            raise RequestError(f"{where} must hold numbers, strings, booleans or null")
        return [_or_none(value) for value in row]

    def _by_name(self, instance: Mapping[str, Any]) -> list[Any]:
        columns = self._columns
        if any(name not in instance for name in columns.names):
            raise columns.missing_from(instance)
        for name in instance:
            if not columns.is_log_only(name):
                columns.position(name)
        return [instance[name] for name in columns.names]

    def _scored(self, rows: Sequence[Sequence[Any]]) -> Parsed:
        encoded = [self._columns.encode(at, values) for at, values in enumerate(zip(*rows, strict=True))]
        if len(rows) == 1:
            return Parsed(1, checked_row([values[0] for values in encoded]))
        return Parsed(len(rows), matrix_of(np.array(encoded, dtype=np.float64).T, len(rows)))

    def _remember(self, parsed: Parsed, instances: Sequence[Any]) -> None:
        given = [instance if isinstance(instance, dict) else {} for instance in instances]
        key = self._columns.key
        if self._columns.is_log_only(key):
            parsed.entity_ids = [checked_entity(instance.get(key)) for instance in given]
        if self._columns.is_log_only(EVENT_TIME):
            parsed.event_times_us = [checked_event_time(instance.get(EVENT_TIME)) for instance in given]
        if self._columns.entities:
            columns_of_ids = [name for name in self._columns.entities if any(name in each for each in given)]
            parsed.entities = {
                name: checked_ids([each.get(name) for each in given]) for name in columns_of_ids
            }


def _or_none(value: Any) -> Any:
    """Nothing for NaN, by which a client means that it has no value."""
    return None if isinstance(value, float) and isnan(value) else value
