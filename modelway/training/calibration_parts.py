"""How calibration rows are dealt to the parts of a cross-fit: evenly, and no group is torn apart."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from modelway.features.training_set import GROUP
from modelway.training.encoding import Labels

Groups = npt.NDArray[np.intp]
"""The number of each row's group, shape (n,)."""


Sums = npt.NDArray[np.float64]


def groups_of(rows: pl.DataFrame) -> Groups | None:
    """From the column that a use case's `TrainingPolicy.group` made; a row without a value stands alone.

    Returns:
        None where nobody asked for groups.
    """
    if GROUP not in rows.columns:
        return None
    alone = pl.concat_str(pl.lit("row "), pl.int_range(pl.len()).cast(pl.String))
    named = pl.concat_str(pl.lit("group "), GROUP)
    return np.asarray(
        rows.select(named.fill_null(alone).rank("dense")).to_series().to_numpy() - 1, dtype=np.intp
    )


def dealt(y: Labels, parts: int, seed: int, groups: Groups | None = None) -> Groups:
    """The number of each row's part, shape (n,).

    Args:
        y: Labels, shape (n,): positives and negatives are dealt out evenly.
        parts: How many.
        seed: Of the order in which rows are dealt.
        groups: Rows of one group go to one part. Large groups first, each to the part with the fewest
            positives so far, or, where it has none, with the fewest rows.

    Source:
        The greedy rule of scikit-learn's `StratifiedGroupKFold`, with an order of its own.
    """
    random = np.random.default_rng(seed)
    if groups is not None:
        positives = np.bincount(groups, weights=y).astype(np.float64)
        return _whole(np.bincount(groups), positives, parts, random)[groups]
    part = np.empty(len(y), dtype=np.intp)
    for label in (0, 1):
        rows = random.permutation(np.flatnonzero(y == label))
        part[rows] = np.arange(len(rows)) % parts
    return part


def _whole(rows: Groups, positives: Sums, parts: int, random: np.random.Generator) -> Groups:
    """The part of each group, shape (groups,)."""
    part = np.empty(len(rows), dtype=np.intp)
    held = np.zeros((2, parts))
    for group in _largest_first(rows, positives, random):
        chosen = np.lexsort((held[0], held[1]) if positives[group] else (held[1], held[0]))[0]
        part[group] = chosen
        held[:, chosen] += rows[group], positives[group]
    return part


def _largest_first(rows: Groups, positives: Sums, random: np.random.Generator) -> Iterator[int]:
    order = random.permutation(len(rows))
    return iter(order[np.lexsort((-rows[order], -positives[order]))].tolist())


def fewest(y: Labels, part: Groups, parts: int) -> int:
    """Rows of the class and the part that have the fewest."""
    positives = np.bincount(part, weights=y, minlength=parts)
    return int(min(positives.min(), (np.bincount(part, minlength=parts) - positives).min()))
