"""Learn from the past, calibrate on its newest rows, test on what came after: the only order that happens."""

from datetime import datetime

import polars as pl
from pydantic import Field

from modelway.contract import Frozen
from modelway.data.frames import FrameRef, write_frame
from modelway.errors import EmptyWindowError

PARTS = ("train", "calibration", "test")


class Shares(Frozen):
    """Which share of the rows each later part takes; train has the rest."""

    calibration: float = Field(default=0.1, gt=0, lt=1)
    """Small: a calibrator has two parameters. Its rows teach too, by a cross-fit (`final.fit`, ADR 28)."""
    test: float = Field(default=0.2, gt=0, lt=1)
    min_rows: int = Field(default=10, ge=2)
    """Fewest rows in any part."""


class Boundaries(Frozen):
    """When each part begins; a part ends where the next begins. `last` is the newest row's time."""

    first: datetime
    calibration_from: datetime
    test_from: datetime
    last: datetime


class Splits(Frozen):
    """Three parts of one training set, told apart by `event_time` alone."""

    train: FrameRef
    calibration: FrameRef
    test: FrameRef
    boundaries: Boundaries
    positives: tuple[int, int, int]
    """Rows with label 1 in train, calibration, test."""


def split_by_time(frame: pl.DataFrame, folder: str, shares: Shares | None = None) -> Splits:
    """Cut a training set into train | calibration | test by `event_time` and store the parts.

    Rows of one moment are never torn apart, so the parts only roughly have their shares.

    Args:
        frame: With `event_time` and `label`; any order.
        folder: Where the parts are written, content-addressed.
        shares: How much goes where.

    Raises:
        EmptyWindowError: A part would have too few rows, or only one class.
    """
    shares = shares or Shares()
    ordered = frame.sort("event_time", maintain_order=True)
    older, test = cut(ordered, shares.test, shares.min_rows)
    train, calibration = cut(older, shares.calibration / (1 - shares.test), shares.min_rows)
    parts = (train, calibration, test)
    for name, part in zip(PARTS, parts, strict=True):
        require_both_classes(name, part)
    refs = {name: write_frame(part, folder) for name, part in zip(PARTS, parts, strict=True)}
    positives = (int(train["label"].sum()), int(calibration["label"].sum()), int(test["label"].sum()))
    return Splits(**refs, boundaries=_boundaries(*parts), positives=positives)


def cut(ordered: pl.DataFrame, newest_share: float, min_rows: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Part rows sorted by `event_time` into (older, newest); the cut falls between two moments.

    Raises:
        EmptyWindowError: Either side would have fewer than `min_rows` rows.
    """
    rows = ordered.height
    if rows < 2 * min_rows:
        raise _too_few(f"{rows} rows", min_rows)
    boundary = ordered["event_time"][min(rows - 1, round(rows * (1 - newest_share)))]
    older = ordered.filter(pl.col("event_time") < boundary)
    newest = ordered.filter(pl.col("event_time") >= boundary)
    if min(older.height, newest.height) < min_rows:
        found = f"{older.height} rows before {boundary:%Y-%m-%d} and {newest.height} from then on"
        raise _too_few(found, min_rows)
    return older, newest


def require_both_classes(name: str, part: pl.DataFrame) -> None:
    """Refuse rows from which nothing can be learnt or measured.

    Raises:
        EmptyWindowError: All rows have the same label, or some have none.
    """
    positives = int((part["label"] == 1).sum())
    negatives = int((part["label"] == 0).sum())
    if positives + negatives < part.height or not positives or not negatives:
        raise EmptyWindowError(
            f"{part.height} {name} rows, {_period(part)}: {positives} positives, {negatives} negatives",
            expected="labels 0 and 1, at least one of each, in every part",
            remedy="choose a later as_of or a longer window (training_window_months)",
        )


def _boundaries(train: pl.DataFrame, calibration: pl.DataFrame, test: pl.DataFrame) -> Boundaries:
    return Boundaries(
        first=train["event_time"][0],
        calibration_from=calibration["event_time"][0],
        test_from=test["event_time"][0],
        last=test["event_time"][-1],
    )


def _period(part: pl.DataFrame) -> str:
    times = part["event_time"]
    return f"{times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}"


def _too_few(found: str, min_rows: int) -> EmptyWindowError:
    return EmptyWindowError(
        f"too few matured rows to split by time: {found}",
        expected=f"at least {min_rows} rows in each of {', '.join(PARTS)}",
        remedy="choose a later as_of or a longer window (training_window_months)",
    )
