"""Do the features that were served agree with those that training sees? The prediction log against the join.

Each logged row is looked up offline, by the road that training takes, at the moment the request was for.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from pydantic import Field

from modelway.bundle.signature import Input
from modelway.contract import Frozen, Outcome, Reason, Verdict
from modelway.errors import EmptyWindowError
from modelway.features.by_key import SUBJECT as SUBJECT_VIEW
from modelway.features.definitions import FeatureView
from modelway.features.join import TIME
from modelway.monitoring.monitor import Subject
from modelway.monitoring.policy import SkewPolicy
from modelway.monitoring.predictions import ENTITY, EVENT_TIME, FALLBACK, KEY, STORED, read_predictions
from modelway.monitoring.served_rows import offline_side
from modelway.monitoring.windows import Window
from modelway.stats.calibration import wilson

if TYPE_CHECKING:
    from modelway.usecase import UseCase

_DATA_RULES = ("missing", "stale")
"""Fallbacks that say something of the store's data; the others answered without looking at features."""
_ON, _OFF, _GAP = "online", "offline", "gap"
Value = float | str | None


class SkewExample(Frozen):
    """One row in which the two differ."""

    subject: str | None
    entity: str | None
    """Whose row of a view was read, where the log keeps its id; else the subject."""
    at: datetime
    """The moment that the request was for."""
    stored_at: datetime | None
    """When the stored value was true; None where none was read."""
    online: Value
    """As the graph saw it."""
    offline: Value


class FeatureSkew(Frozen):
    """One feature, online against offline."""

    name: str
    view: str | None
    """The feature view it comes from; None for a column of the row itself."""
    rows: int
    """Compared."""
    exact: int
    """Equal to the bit, or missing on both sides."""
    valued: int
    """Those with a value on one side at least: what is missing in every row was not compared."""
    differing: int
    """Beyond the tolerance, those that are missing on one side among them."""
    missing_online: int
    missing_offline: int
    max_difference: float | None
    """Largest |online - offline| of a number that both have; None without any."""
    p99_difference: float | None
    examples: tuple[SkewExample, ...] = ()
    """Some that are missing on one side, then those with the largest differences."""

    @property
    def share(self) -> float | None:
        """Part of the compared rows that differs."""
        return self.differing / self.rows if self.rows else None


class SkewReport(Frozen):
    """What one comparison found."""

    model: str
    bundle: str
    since: datetime
    until: datetime
    predictions: int
    """Logged rows of this bundle in the window."""
    compared: int
    """Rows of which at least one feature could be looked up."""
    missing: str | None
    """Why there is no prediction at all, when there is none."""
    policy: SkewPolicy
    features: tuple[FeatureSkew, ...]
    masked: tuple[str, ...] = Field(default=())
    """Inputs that the log does not keep as they are: nobody can compare them."""
    verdict: Verdict


def measure_skew(  # noqa: PLR0913 - a log, a history, whose, when and how strictly
    predictions: Path,
    history: pl.LazyFrame,
    *,
    use_case: "UseCase",
    subject: Subject,
    window: Window,
    policy: SkewPolicy | None = None,
) -> SkewReport:
    """Compare what one model was served with what training would see.

    Args:
        predictions: Folder of the prediction log.
        history: Rows of a snapshot; the feature views are computed from all of them.
        use_case: Says what the features are.
        subject: The model.
        window: Event times to look at.
        policy: Tolerance and limits.

    Raises:
        SourceError: A file of the log is not readable.
        ConfigError: A feature's definition does not fit the data.
    """
    policy = policy or SkewPolicy()
    frame, missing = _logged(predictions, subject, window)
    inputs = [column for column in subject.signature.inputs if column.name not in subject.masked]
    offline = offline_side(use_case, history, frame, subject) if frame.height else None
    features = [] if offline is None else _features(use_case, frame, offline, inputs, policy)
    comparable = 0 if offline is None else _comparable_rows(offline, inputs)
    masked = tuple(sorted(set(subject.masked) & set(subject.signature.names)))
    return SkewReport(
        model=subject.signature.model_name,
        bundle=subject.bundle,
        since=window.since,
        until=window.until,
        predictions=frame.height,
        compared=comparable,
        missing=missing,
        policy=policy,
        features=tuple(features),
        masked=masked,
        verdict=_verdict(features, frame.height, comparable, masked, missing, policy),
    )


def _logged(folder: Path, subject: Subject, window: Window) -> tuple[pl.DataFrame, str | None]:
    """The window's rows whose features somebody looked up, or none and the reason."""
    try:
        found = read_predictions(folder, since=window.since, until=window.until, bundle=subject.bundle)
    except EmptyWindowError as empty:
        return pl.DataFrame(), empty.found
    if FALLBACK in found.columns:
        found = found.filter(pl.col(FALLBACK).is_null() | pl.col(FALLBACK).is_in(_DATA_RULES))
    return found, None if found.height else "the fallback rule answered every request"


def _comparable_rows(offline: pl.DataFrame, inputs: Sequence[Input]) -> int:
    if not inputs:  # the log masks every one
        return 0
    return offline.filter(pl.any_horizontal(f"comparable_{column.name}" for column in inputs)).height


def _features(
    use_case: "UseCase",
    frame: pl.DataFrame,
    offline: pl.DataFrame,
    inputs: Sequence[Input],
    policy: SkewPolicy,
) -> list[FeatureSkew]:
    views = {feature.name: view for view in use_case.features.views for feature in view.features}
    found = []
    for column in inputs:
        view = views.get(column.name)
        pairs = _pairs(frame, offline, column.name, view)
        found.append(_feature(column, view.name if view else None, pairs.filter("comparable"), policy))
    return found


def _pairs(frame: pl.DataFrame, offline: pl.DataFrame, name: str, view: FeatureView | None) -> pl.DataFrame:
    """Both sides of one feature, and what an example of it tells."""
    stored = f"{STORED}{view.name if view else SUBJECT_VIEW}"
    who = f"{KEY}{view.entity}" if view and f"{KEY}{view.entity}" in frame.columns else ENTITY
    return frame.select(
        pl.col(ENTITY).alias("subject"),
        pl.col(who).alias("entity"),
        pl.col(EVENT_TIME).alias("at"),
        (pl.col(stored) if stored in frame.columns else pl.lit(None, TIME)).alias("stored_at"),
        pl.col(name).fill_nan(None).cast(pl.Float32).alias(_ON),
        offline[name].alias(_OFF),
        offline[f"comparable_{name}"].alias("comparable"),
    )


def _feature(column: Input, view: str | None, pairs: pl.DataFrame, policy: SkewPolicy) -> FeatureSkew:
    on, off = pl.col(_ON).cast(pl.Float64), pl.col(_OFF).cast(pl.Float64)
    gap = (on - off).abs()
    near = policy.absolute_tolerance + policy.relative_tolerance * pl.max_horizontal(on.abs(), off.abs())
    one_sided = pl.col(_ON).is_null() != pl.col(_OFF).is_null()
    marked = pairs.with_columns(
        gap.alias(_GAP), (one_sided | (gap > near).fill_null(value=False)).alias("differs")
    )
    wrong = marked.filter("differs").sort(_GAP, descending=True, maintain_order=True)
    absent, unlike = (
        wrong.filter(is_absent).head(policy.worst_shown) for is_absent in (one_sided, ~one_sided)
    )
    is_number = column.kind == "numeric"
    return FeatureSkew(
        name=column.name,
        view=view,
        rows=pairs.height,
        exact=pairs.filter(pl.col(_ON).eq_missing(pl.col(_OFF))).height,
        valued=pairs.filter(pl.col(_ON).is_not_null() | pl.col(_OFF).is_not_null()).height,
        differing=wrong.height,
        missing_online=pairs.filter(pl.col(_ON).is_null() & pl.col(_OFF).is_not_null()).height,
        missing_offline=pairs.filter(pl.col(_ON).is_not_null() & pl.col(_OFF).is_null()).height,
        max_difference=marked.select(pl.col(_GAP).max()).item() if is_number else None,
        p99_difference=marked.select(pl.col(_GAP).quantile(0.99, "higher")).item() if is_number else None,
        examples=tuple(_examples(pl.concat([absent, unlike]), column)),
    )


def _examples(rows: pl.DataFrame, column: Input) -> Iterator[SkewExample]:
    def said(number: float | None) -> Value:
        return column.vocabulary[int(number)] if number is not None and column.vocabulary else number

    for row in rows.select("subject", "entity", "at", "stored_at", _ON, _OFF).iter_rows(named=True):
        yield SkewExample(**{**row, _ON: said(row[_ON]), _OFF: said(row[_OFF])})


def _verdict(  # noqa: PLR0913, PLR0917 - every count that can keep a verdict open
    features: Sequence[FeatureSkew],
    predictions: int,
    compared: int,
    masked: Sequence[str],
    missing: str | None,
    policy: SkewPolicy,
) -> Verdict:
    reasons = [_coverage(predictions, compared, missing, policy)]
    reasons += [_judged(feature, policy) for feature in features]
    if masked:
        told = f"the log does not keep {', '.join(masked)}: nothing to compare"
        reasons.append(Reason(metric="skew: masked columns", outcome=Outcome.INCONCLUSIVE, message=told))
    return Verdict.of(reasons)


def _coverage(predictions: int, compared: int, missing: str | None, policy: SkewPolicy) -> Reason:
    """Enough rows, and enough of all rows: what cannot be looked up may be what is wrong."""
    share = compared / predictions if predictions else 0.0
    enough = compared >= policy.min_rows and share >= policy.min_compared_share
    told = f"{compared:,} of {predictions:,} logged rows could be looked up"
    if not enough:
        told += f": at least {policy.min_rows:,} and {policy.min_compared_share:.0%} of them are needed"
    return Reason(
        metric="skew: rows compared",
        outcome=Outcome.PASS if enough else Outcome.INCONCLUSIVE,
        message=missing or told,
        found=compared,
        limit=policy.min_rows,
        unit="rows",
        samples=predictions,
    )


def _judged(feature: FeatureSkew, policy: SkewPolicy) -> Reason:
    told = f"{feature.name} differs in {feature.differing:,} of {feature.rows:,} rows"
    if feature.rows and not feature.valued:
        told += ", all of them without a value on either side"
    sides = (("online", feature.missing_online), ("offline", feature.missing_offline))
    absent = [f"{count:,} missing {side}" for side, count in sides if count]
    return Reason(
        metric=f"skew: {feature.name}",
        outcome=_outcome(feature, policy),
        message=told + (f" ({', '.join(absent)})" if absent else ""),
        found=feature.share,
        limit=policy.max_differing_share,
        unit="of the rows",
        samples=feature.rows,
    )


def _outcome(feature: FeatureSkew, policy: SkewPolicy) -> Outcome:
    """Few rows can fail when even their interval lies beyond the limit; they, and no values, cannot pass."""
    limit = policy.max_differing_share
    if feature.rows and wilson(feature.differing, feature.rows)[0] > limit:
        return Outcome.FAIL
    if feature.rows < policy.min_rows or not feature.valued:
        return Outcome.INCONCLUSIVE
    return Outcome.PASS if feature.differing <= limit * feature.rows else Outcome.FAIL
