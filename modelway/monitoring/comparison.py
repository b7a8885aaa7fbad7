"""One window against the reference: every column, its missing rate and the score, tested together."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from modelway.bundle.signature import Input
from modelway.contract import Frozen
from modelway.monitoring.predictions import SCORE, answered_by_the_model
from modelway.stats.drift import (
    Tested,
    binned_shares,
    chi_square,
    jensen_shannon,
    ks_two_sample,
    population_stability_index,
    proportions,
    quantile_edges,
    total_variation,
)
from modelway.stats.multiple import benjamini_hochberg

Values = npt.NDArray[np.float64]
Kind = Literal["numeric", "category", "missing", "score"]

REFERENCE_SCORE = "probability"
SCORE_NAME = "probability (the model's answer)"


class Difference(Frozen):
    """One column's test in one window."""

    p_value: float
    adjusted_p: float
    """After Benjamini-Hochberg over all tests of the window."""
    effect: float
    """KS distance, total variation, or difference of the missing rates: all in [0, 1]."""
    psi: float
    """Population stability index: for people, it decides nothing."""
    js: float
    """Jensen-Shannon distance, base 2: for people, it decides nothing."""
    mean: float | None
    """Mean of the values (of the rate for `missing`); None for a category."""


class Series(Frozen):
    """One thing that is compared: a column, its missing rate, or the score."""

    name: str
    kind: Kind
    reference_column: str
    column: str
    levels: int = 0


def compared_series(inputs: Sequence[Input]) -> Iterator[Series]:
    """The score first, then each input; a number's missing rate is a series of its own."""
    yield Series(name=SCORE_NAME, kind="score", reference_column=REFERENCE_SCORE, column=SCORE)
    for column in inputs:
        yield Series(
            name=column.name,
            kind=column.kind,
            reference_column=column.name,
            column=column.name,
            levels=len(column.vocabulary),
        )
        if column.kind == "numeric":  # a category's missing values are one of its levels
            yield Series(
                name=f"{column.name} is missing",
                kind="missing",
                reference_column=column.name,
                column=column.name,
            )


def _values(frame: pl.DataFrame, column: str) -> Values:
    return frame[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def sorted_columns(reference: pl.DataFrame, compared: Sequence[Series]) -> Mapping[str, Values]:
    """The reference's values by column, in order: sorted once, not again for every window."""
    return {s.reference_column: np.sort(_values(reference, s.reference_column)) for s in compared}


def differences(
    reference: Mapping[str, Values], window: pl.DataFrame, compared: Sequence[Series]
) -> Mapping[str, Difference]:
    """One window's tests by name, adjusted for each other; a test that cannot be made is left out."""
    raw = {s.name: _compare(s, reference[s.reference_column], _seen(s, window)) for s in compared}
    made = {name: found for name, found in raw.items() if found is not None}
    adjusted = benjamini_hochberg(np.array([d.p_value for d in made.values()]))
    return {
        name: d.model_copy(update={"adjusted_p": float(q)})
        for (name, d), q in zip(made.items(), adjusted, strict=True)
    }


def _seen(series: Series, window: pl.DataFrame) -> Values:
    """An input as it was asked about in every row; a score only where it is the model's."""
    return _values(answered_by_the_model(window) if series.kind == "score" else window, series.column)


def _compare(series: Series, reference: Values, current: Values) -> Difference | None:
    if series.kind == "category":
        return _compare_levels(reference, current, series.levels)
    if series.kind == "missing":
        return _compare_missing(reference, current)
    return _compare_numbers(reference, current)


def _difference(test: Tested, effect: float, shares: tuple[Values, Values], mean: float | None) -> Difference:
    return Difference(
        p_value=test.p_value,
        adjusted_p=test.p_value,
        effect=effect,
        psi=population_stability_index(*shares),
        js=jensen_shannon(*shares),
        mean=mean,
    )


def _compare_numbers(reference: Values, current: Values) -> Difference | None:
    """Of the values present; None where a side has none: `missing` then says so."""
    edges_from, present = reference[~np.isnan(reference)], current[~np.isnan(current)]
    if not edges_from.size or not present.size:
        return None
    edges = quantile_edges(edges_from)
    shares = (binned_shares(edges_from, edges), binned_shares(present, edges))
    test = ks_two_sample(edges_from, present)
    return _difference(test, test.statistic, shares, float(present.mean()))


def _compare_missing(reference: Values, current: Values) -> Difference:
    was, now = np.isnan(reference), np.isnan(current)
    test = proportions((int(was.sum()), was.size), (int(now.sum()), now.size))
    shares = (np.array([was.mean(), 1 - was.mean()]), np.array([now.mean(), 1 - now.mean()]))
    return _difference(test, float(abs(was.mean() - now.mean())), shares, float(now.mean()))


def _compare_levels(reference: Values, current: Values, levels: int) -> Difference:
    """Counts per code of the vocabulary; missing or unknown is the last level."""
    was, now = _counts(reference, levels), _counts(current, levels)
    shares = (was / was.sum(), now / now.sum())
    return _difference(chi_square(was, now), total_variation(*shares), shares, None)


def _counts(codes: Values, levels: int) -> npt.NDArray[np.int64]:
    known = np.where(np.isnan(codes), levels, codes).astype(np.int64)
    return np.bincount(known, minlength=levels + 1).astype(np.int64)
