"""Read the prediction log: what was asked, what was answered, when, by which revision."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import polars as pl

from modelway.errors import EmptyWindowError, SourceError

REQUEST_ID, ROW = "_request_id", "_row"
ENTITY, EVENT_TIME, RECEIVED = "_entity_id", "_event_time", "_received_at"
MODEL, REVISION, BUNDLE = "_model", "_revision", "_bundle"
SCORE = "_probability"
FALLBACK = "_fallback"
"""Why the fallback rule answered a row, null where the model did; absent for models without a rule."""
PURPOSE = "_purpose"
"""Null in rows of users; logs from before 2026-11 lack it, and hold users alone as far as anybody knows."""
KEY, STORED = "_key_", "_at_"
"""Begin names of columns: an id beside the model's inputs; when a view's values were true."""

LOG_COLUMNS = (REQUEST_ID, ROW, ENTITY, EVENT_TIME, RECEIVED, MODEL, REVISION, BUNDLE, SCORE)
"""Written by the runtime before the encoded inputs."""


def read_predictions(
    folder: Path,
    *,
    since: datetime,
    until: datetime,
    revision: str | None = None,
    bundle: str | None = None,
) -> pl.DataFrame:
    """Predictions about events in [since, until), each subject once, oldest event first.

    A client that retries logs the same question twice: of the answers one bundle gave about one
    entity at one event time, the newest stays. Rows without an entity are told apart by request.

    Rows that were marked as a probe, a drill or a load test are left out.

    Args:
        folder: Where the runtimes write; files still being written (`.tmp`) are not looked at.
        since: First event time, inclusive, with time zone.
        until: Last event time, exclusive.
        revision: Only this revision's answers.
        bundle: Only answers of the bundle with this digest.

    Returns:
        The log's columns, then one float32 column per model input.

    Raises:
        SourceError: A file is no prediction log.
        EmptyWindowError: The folder is missing or holds no closed file, or no prediction is left.
    """
    found = _scan(folder).filter(pl.col(EVENT_TIME).is_between(since, until, closed="left"))
    for column, wanted in ((REVISION, revision), (BUNDLE, bundle)):
        if wanted is not None:
            found = found.filter(pl.col(column) == wanted)
    frame = _newest_answers(_collect(found, folder))
    if frame.is_empty():
        raise EmptyWindowError(
            f"no prediction about events from {since:%Y-%m-%d} to {until:%Y-%m-%d} in {folder}",
            expected=f"rows of {_whose(revision, bundle)} in that window",
            remedy="check the window, or whether the service logs (`modelway serve status`)",
        )
    return frame


def answered_by_the_model(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows whose score is the model's own; those that the fallback rule answered say nothing of it."""
    return frame.filter(pl.col(FALLBACK).is_null()) if FALLBACK in frame.columns else frame


def _of_users(found: pl.LazyFrame) -> pl.LazyFrame:
    if PURPOSE not in found.collect_schema().names():
        return found
    return found.filter(pl.col(PURPOSE).is_null()).drop(PURPOSE)


def _whose(revision: str | None, bundle: str | None) -> str:
    if revision is not None:
        return f"revision {revision!r}"
    return f"bundle {bundle[:12]}" if bundle else "any revision"


def _files(folder: Path) -> Sequence[Path]:
    files = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
    if not files:
        raise EmptyWindowError(
            f"no prediction log in {folder}",
            expected="Parquet files written by serving.runtime --log-dir",
            remedy="send requests to the service first; a log file is closed after a few idle seconds",
        )
    return files


def _scan(folder: Path) -> pl.LazyFrame:
    """All closed files as one frame. Bundles differ in inputs: a column one lacks is null there."""
    return pl.concat([_scan_one(path) for path in _files(folder)], how="diagonal_relaxed")


def _scan_one(path: Path) -> pl.LazyFrame:
    try:
        names = pl.read_parquet_schema(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(path, str(error)) from error
    missing = [name for name in LOG_COLUMNS if name not in names]
    if missing:
        raise _unreadable(path, f"it lacks {', '.join(missing)}")
    return pl.scan_parquet(path)


def _collect(found: pl.LazyFrame, folder: Path) -> pl.DataFrame:
    try:
        return _of_users(found).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(folder, str(error)) from error


def _unreadable(path: Path, why: str) -> SourceError:
    return SourceError(
        f"{path} is no readable prediction log: {why.splitlines()[0] if why else 'no reason given'}",
        expected=f"Parquet with the columns {', '.join(LOG_COLUMNS)} and one per input",
        remedy="move the file away; the others are read without it",
    )


def _newest_answers(frame: pl.DataFrame) -> pl.DataFrame:
    """One answer per bundle and question, the one received last."""
    subject = pl.coalesce(
        pl.col(ENTITY), pl.concat_str(pl.col(REQUEST_ID), pl.col(ROW).cast(pl.String), separator="\x1f")
    )
    return (
        frame.with_columns(subject.alias("_subject"))
        .sort(RECEIVED, maintain_order=True)
        .unique(["_subject", EVENT_TIME, BUNDLE], keep="last", maintain_order=True)
        .sort([EVENT_TIME, "_subject"], maintain_order=True)
        .drop("_subject")
    )
