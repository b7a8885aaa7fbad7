"""Reads answers out of the prediction log while it grows: each closed file once.

pyarrow is imported when the first file is read: most rollouts read none.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from modelway.errors import NotReadyError
from serving.rollout.target import RevisionId

Key = tuple[object, ...]
_COLUMNS = ["_request_id", "_row", "_entity_id", "_event_time", "_received_at", "_revision", "_probability"]


class Answer(NamedTuple):
    """One logged row."""

    revision: RevisionId
    request: Key
    """Request id and row within it. An id that the client did not send is never another process's."""
    entity: str | None
    event: Key | None
    """Entity and event time; None where either was not sent."""
    received_us: int
    probability: float


class AnswerLog:
    """All answers since a moment. Each `read` takes in the files that appeared since the last one."""

    def __init__(self, folder: Path, since: datetime) -> None:
        """Name folder and moment; reads nothing."""
        self._folder, self._since_us = folder, int(since.timestamp() * 1e6)
        self._read: set[str] = set()
        self.answers: list[Answer] = []

    def read(self) -> list[Answer]:
        """What is new, oldest file first; `answers` holds all.

        Raises:
            NotReadyError: A file cannot be read now.
        """
        fresh: list[Answer] = []
        for path in self._unread():
            fresh += [answer for answer in _rows(path) if answer.received_us >= self._since_us]
            self._read.add(path.name)
        self.answers += fresh
        return fresh

    def _unread(self) -> list[Path]:
        """Closed files; one that was closed before the moment holds nothing of interest."""
        found = self._folder.glob("*.parquet") if self._folder.is_dir() else ()
        new = [path for path in found if path.name not in self._read]
        dated = [(path.stat().st_mtime, path) for path in new]
        return [path for modified_s, path in sorted(dated) if modified_s * 1e6 >= self._since_us]


def _rows(path: Path) -> Iterator[Answer]:
    for row in zip(*_columns(path), strict=True):
        request_id, number, entity, event_us, received_us, revision, probability = row
        sent = entity is not None and event_us != received_us
        yield Answer(
            revision=revision,
            request=(request_id, number),
            entity=entity,
            event=(entity, event_us, number) if sent else None,
            received_us=received_us,
            probability=probability,
        )


def _columns(path: Path) -> list[list[Any]]:
    import pyarrow as pa  # noqa: PLC0415 - 0.2 s and 40 MB that a canary without comparison need not pay
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    try:
        table = pq.ParquetFile(path).read(columns=_COLUMNS)
    except (OSError, pa.ArrowException) as error:
        raise NotReadyError(
            f"{path.name} cannot be read: {error}",
            expected="a file of the prediction log",
            remedy="look at the disk, or remove the file",
        ) from error
    moments = {"_event_time", "_received_at"}
    return [
        (table[name].cast(pa.int64()) if name in moments else table[name]).to_pylist() for name in _COLUMNS
    ]


def by_key(answers: Mapping[Key, Answer], wanted: Answer) -> Answer | None:
    """The answer to the same request: by the client's id, else by entity and event time."""
    return answers.get(wanted.request) or (answers.get(wanted.event) if wanted.event else None)
