"""Rewards of an a-b test: which unit saw which arm, and what came of it.

A unit is an entity, or a request where none was sent: with sticky keys the requests of one entity are
not independent, so each entity counts once. It belongs to the arm that answered it first.
"""

import csv
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from modelway.errors import ConfigError, NotReadyError
from modelway.stats.sequential import Counts
from serving.rollout.logged import Answer, AnswerLog
from serving.rollout.sights import RewardKind, RewardSource
from serving.rollout.target import RevisionId


class Rewards:
    """Grows with the prediction log; the rewards file is read anew at each look."""

    def __init__(
        self, folder: Path, since: datetime, thresholds: Mapping[RevisionId, float], source: RewardSource
    ) -> None:
        """Name the log, the arms with their decision thresholds, and where rewards come from."""
        self._log, self._thresholds, self._source = AnswerLog(folder, since), thresholds, source
        self._first: dict[object, Answer] = {}

    def totals(self) -> dict[RevisionId, Counts]:
        """Rewarded units and rewards per arm so far.

        Raises:
            NotReadyError: Log or file cannot be read now.
            ConfigError: The file has no `key` and `reward`, or a reward is not 0 or 1.
        """
        for answer in self._log.read():
            if answer.revision in self._thresholds:
                self._note(answer)
        known = self._known()
        trials = dict.fromkeys(self._thresholds, 0)
        events = dict.fromkeys(self._thresholds, 0)
        for answer, value in known:
            trials[answer.revision] += 1
            events[answer.revision] += value
        return {name: Counts(trials=trials[name], events=events[name]) for name in self._thresholds}

    def _note(self, answer: Answer) -> None:
        unit = answer.entity or answer.request
        before = self._first.get(unit)
        if before is None or answer.received_us < before.received_us:
            self._first[unit] = answer

    def _known(self) -> Iterable[tuple[Answer, int]]:
        if self._source.kind is RewardKind.DECISION or self._source.path is None:
            return [
                (each, int(each.probability >= self._thresholds[each.revision]))
                for each in self._first.values()
            ]
        found = read_rewards(self._source.path)
        values = ((each, _first_of(found, each)) for each in self._first.values())
        return [(each, value) for each, value in values if value is not None]


def _first_of(found: Mapping[str, int], answer: Answer) -> int | None:
    by_request = found.get(str(answer.request[0]))
    return found.get(answer.entity) if by_request is None and answer.entity else by_request


def read_rewards(path: Path) -> dict[str, int]:
    """Reward per request id or entity; empty while the file is not there. The last line of a key counts.

    Args:
        path: CSV with a header, or Parquet: columns `key` and `reward`, 0 or 1; an empty reward is not yet
            known.

    Raises:
        NotReadyError: The file cannot be read now.
        ConfigError: A column is missing, or a reward is something else.
    """
    if not path.exists():
        return {}
    try:
        rows = list(_parquet(path) if path.suffix == ".parquet" else _csv(path))
    except (OSError, ValueError, csv.Error) as error:
        raise NotReadyError(
            f"{path} cannot be read: {error}", expected="CSV or Parquet", remedy="replace it whole"
        ) from error
    return {str(key): _checked(path, value) for key, value in rows if value not in {None, ""}}


def _csv(path: Path) -> Iterable[tuple[Any, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        _require_columns(path, reader.fieldnames or ())
        yield from ((row["key"], row["reward"]) for row in reader)


def _parquet(path: Path) -> Iterable[tuple[Any, Any]]:
    import pyarrow.parquet as pq  # noqa: PLC0415 - 0.2 s; most tests compare decisions

    file = pq.ParquetFile(path)
    _require_columns(path, file.schema_arrow.names)
    table = file.read(columns=["key", "reward"])
    return zip(table["key"].to_pylist(), table["reward"].to_pylist(), strict=True)


def _require_columns(path: Path, names: Iterable[str]) -> None:
    missing = {"key", "reward"} - set(names)
    if missing:
        raise ConfigError(
            f"{path} has no column {' and '.join(sorted(missing))}",
            expected="key (request id or entity) and reward (0 or 1)",
            remedy="rename the columns",
        )


def _checked(path: Path, value: object) -> int:
    try:
        number = float(str(value))
    except ValueError:
        number = -1.0
    if number not in {0.0, 1.0}:
        raise ConfigError(
            f"{path} holds the reward {value!r}", expected="0 or 1", remedy="state the metric as yes or no"
        )
    return int(number)
