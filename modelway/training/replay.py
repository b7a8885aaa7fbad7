"""Training rows of a refit: all that is new, and a share of what the model before learnt from."""

from datetime import datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from modelway.bundle.lineage import Lineage, Replay
from modelway.errors import ConfigError, EmptyWindowError
from modelway.features.training_set import build_training_set

if TYPE_CHECKING:
    from modelway.usecase import UseCase

_SHORTEST_MONTH = timedelta(days=28)


def replay_of(champion: Lineage, *, share: float, seed: int) -> Replay:
    """A replay of the champion's rows.

    Args:
        champion: Says what it learnt from.
        share: Of its rows, in (0, 1).
        seed: Of the draw.

    Raises:
        ConfigError: Its lineage does not say from which window it learnt.
    """
    if champion.replay is not None:  # its old rows began where those of the first replay had begun
        months = champion.replay.window_months + _months(champion.replay.until, champion.as_of)
    elif champion.window_months is not None:
        months = champion.window_months
    else:
        raise ConfigError(
            f"the lineage of the champion as of {champion.as_of:%Y-%m-%d} names no window",
            expected="how many months of history it learnt from",
            remedy="train without a replay once",
        )
    return Replay(until=champion.as_of, window_months=months, share=share, seed=seed)


def training_rows(
    use_case: "UseCase",
    history: pl.LazyFrame,
    *,
    as_of: datetime,
    replay: Replay | None,
    window_months: int | None = None,
) -> pl.DataFrame:
    """What a model of day `as_of` learns from.

    Args:
        use_case: Says what the label, the features and the window are.
        history: Rows of a snapshot.
        as_of: The day of training.
        replay: Which old rows; None: all of the window.
        window_months: Without a replay, how much matured history; the use case's by default.

    Returns:
        As `build_training_set`.

    Raises:
        EmptyWindowError: No row matured in the window, or none since the replayed model was trained.
    """
    if replay is None:
        return build_training_set(use_case, history, as_of=as_of, window_months=window_months)
    months = replay.window_months + _months(replay.until, as_of)
    rows = build_training_set(use_case, history, as_of=as_of, window_months=months)
    matured = pl.col("label_matured_at")
    begin = pl.lit(replay.until).dt.offset_by(f"-{replay.window_months}mo")
    is_new = pl.col("__new")
    marked = rows.filter(matured > begin).with_columns((matured > replay.until).alias("__new"))
    if not marked["__new"].any():
        raise EmptyWindowError(
            f"no label of {use_case.name} matured between {replay.until:%Y-%m-%d} and {as_of:%Y-%m-%d}",
            expected="something new to learn",
            remedy="choose a later as_of",
        )
    again = pl.Series(replayed(marked[use_case.contract.key], replay))
    return marked.filter(is_new | again).drop("__new")


def replayed(keys: pl.Series, replay: Replay) -> npt.NDArray[np.bool_]:
    """Which subjects are drawn, shape (n,): each by its own name, whatever rows are beside it."""
    salt, limit = str(replay.seed).encode()[:16], int(replay.share * 2**64)
    drawn = (blake2b(key.encode(), digest_size=8, salt=salt).digest() for key in keys.cast(pl.String))
    return np.array([int.from_bytes(each, "big") < limit for each in drawn], dtype=np.bool_)


def _months(since: datetime, until: datetime) -> int:
    """Enough of them to reach back to `since`; rows before it are filtered by the day."""
    return max(0, -((since - until) // _SHORTEST_MONTH))
