"""How the values of each column lie in two snapshots, and which columns moved."""

from typing import Literal

import numpy as np
import polars as pl

from modelway.contract import Frozen
from modelway.data.manifest import Snapshot
from modelway.stats.drift import Tested, chi_square, ks_two_sample, total_variation

MOVED_DISTANCE = 0.1
"""Of distributions: less changes few decisions. The limit of the drift alarm."""
MOVED_NULL_SHARE = 0.05
CHANCE = 0.01
"""How often chance alone may name a column of one comparison, all columns together (Bonferroni)."""


class Shift(Frozen):
    """One column in both snapshots."""

    name: str
    measure: Literal["kolmogorov-smirnov", "total variation"]
    distance: float | None
    """Of the values that are there, in [0, 1]; None where a side has none."""
    p_value: float | None
    null_share_old: float
    null_share_new: float
    typical_old: str | None
    """The median of a number or a time, the most frequent value of anything else."""
    typical_new: str | None
    moved: bool
    """By a distance that matters and that chance does not explain; or in its nulls alike."""


def shifts(old: Snapshot, new: Snapshot, old_rows: pl.LazyFrame, new_rows: pl.LazyFrame) -> tuple[Shift, ...]:
    """Compare each column that both have in the same type, but for the key, the farthest moved first.

    One column is in memory at a time. Rows that both snapshots hold count on both sides, so that a p-value
    is larger than that of two independent samples: a column is rather missed than named without reason.
    """
    names = [n for n, kind in old.columns.items() if new.columns.get(n) == kind and n != old.key]
    found = [_shift(_values(old_rows, name), _values(new_rows, name), CHANCE / len(names)) for name in names]
    return tuple(sorted(found, key=lambda s: (not s.moved, -(s.distance or 0.0), s.name)))


def _values(rows: pl.LazyFrame, name: str) -> pl.Series:
    values = rows.select(name).collect()[name]
    return values.to_physical() if values.dtype.is_temporal() else values


def _shift(old: pl.Series, new: pl.Series, chance: float) -> Shift:
    nulls = [_null_share(side) for side in (old, new)]
    tested = _distance(old.drop_nulls(), new.drop_nulls())
    far = tested is not None and tested.statistic >= MOVED_DISTANCE and tested.p_value < chance
    return Shift(
        name=old.name,
        measure="kolmogorov-smirnov" if old.dtype.is_numeric() else "total variation",
        distance=None if tested is None else tested.statistic,
        p_value=None if tested is None else tested.p_value,
        null_share_old=nulls[0],
        null_share_new=nulls[1],
        typical_old=_typical(old),
        typical_new=_typical(new),
        moved=far or _nulls_moved(old, new, chance),
    )


def _distance(old: pl.Series, new: pl.Series) -> Tested | None:
    """Effect size and p-value; None where a side has no value."""
    if old.is_empty() or new.is_empty():
        return None
    if old.dtype.is_numeric():
        return ks_two_sample(old.cast(pl.Float64).to_numpy(), new.cast(pl.Float64).to_numpy())
    levels = _counts(old, "old").join(_counts(new, "new"), on="level", how="full", coalesce=True)
    was, now = (levels[side].fill_null(0).cast(pl.Int64).to_numpy() for side in ("old", "new"))
    return Tested(total_variation(was / was.sum(), now / now.sum()), chi_square(was, now).p_value)


def _counts(values: pl.Series, side: str) -> pl.DataFrame:
    return values.alias("level").value_counts(name=side).sort("level")


def _nulls_moved(old: pl.Series, new: pl.Series, chance: float) -> bool:
    if old.is_empty() or new.is_empty() or abs(_null_share(old) - _null_share(new)) < MOVED_NULL_SHARE:
        return False
    was, now = (np.array([s.null_count(), s.len() - s.null_count()], dtype=np.int64) for s in (old, new))
    return bool(chi_square(was, now).p_value < chance)


def _null_share(values: pl.Series) -> float:
    return values.null_count() / values.len() if values.len() else 0.0


def _typical(values: pl.Series) -> str | None:
    there = values.drop_nulls()
    if there.is_empty():
        return None
    if values.dtype.is_numeric():
        return f"{float(np.median(there.to_numpy())):g}"
    top = there.alias("level").value_counts(name="n").sort(["n", "level"], descending=[True, False])
    return str(top["level"][0])
