"""Does serving see the features that training saw? One value for each, compared bit for bit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from modelway.contract import Outcome, Reason, Verdict
from modelway.features.definitions import FeatureView
from modelway.features.join import TIME, as_of_join
from modelway.features.values import view_rows

WORST_SHOWN = 5
MIN_COMPARED_SHARE = 0.5
"""Part of the sampled entities whose value of then must still be there for the others to be believed."""
SAMPLE_SEED = 7
"""Which entities are sampled depends on the data alone, so that a verdict can be had again."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """The online side of one view."""

    read: Callable[[Sequence[str], datetime], pl.DataFrame]
    """Entities and the moment -> entity, event_time, features, in that order."""
    overtaken: Callable[[Sequence[str], datetime], Sequence[str]]
    """Those of the entities whose stored value is of after the moment: a stream went on meanwhile."""
    materialised_until: datetime | None


def skew_of(
    view: FeatureView, history: pl.LazyFrame, online: Lookup, *, as_of: datetime, sample: int
) -> Verdict:
    """Compare one view's online answers with the as-of join, for up to `sample` entities.

    The store keeps one value an entity: where it is newer than `as_of`, nobody can say what it held then.
    Where that is so for more than half of the sample, no difference among the others is no PASS.
    """
    until = online.materialised_until
    if until is None:
        return _unknown(view, "was never materialised")
    if until > as_of:
        return _unknown(view, f"was materialised for {until:%Y-%m-%d}, later than {as_of:%Y-%m-%d}")
    offline = _offline(view, history, as_of, sample)
    if offline.select(pl.exclude(view.entity, "at")).null_count().sum_horizontal().sum() == _cells(offline):
        return _unknown(view, f"has no value to compare as of {as_of:%Y-%m-%d}")
    newer = online.overtaken(offline[view.entity].to_list(), as_of)
    offline = offline.filter(~pl.col(view.entity).is_in(newer))
    if offline.is_empty():
        return _unknown(view, f"holds values from after {as_of:%Y-%m-%d} alone")
    return _compared(view, offline, online.read(offline[view.entity].to_list(), as_of), len(newer))


def _cells(offline: pl.DataFrame) -> int:
    return offline.height * (offline.width - 2)


def _offline(view: FeatureView, history: pl.LazyFrame, as_of: datetime, sample: int) -> pl.DataFrame:
    """What the training side gives for sampled entities at `as_of`: entity, `at`, features."""
    rows = view_rows(view, history)
    known = rows.filter(pl.max_horizontal("event_time", "known_at") <= as_of)
    entities = known.select(pl.col(view.entity).drop_nulls().unique().sort()).collect()
    chosen = entities.sample(min(sample, entities.height), seed=SAMPLE_SEED)
    asked = chosen.lazy().with_columns(pl.lit(as_of).cast(TIME).alias("at"))
    ttl = timedelta(days=view.ttl_days)
    return as_of_join(asked, rows, keys=[view.entity], ttl=ttl, at="at").collect()


def _compared(view: FeatureView, offline: pl.DataFrame, online: pl.DataFrame, left_out: int) -> Verdict:
    names = [feature.name for feature in view.features]
    pairs = offline.join(online, on=view.entity, how="left", suffix="_online", maintain_order="left")
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_online")) for name in names)
    wrong = pairs.filter(differs)
    few = pairs.height < MIN_COMPARED_SHARE * (pairs.height + left_out)
    told = f"{view.name}: {wrong.height} of {pairs.height} entities differ online from offline"
    told += f"; {left_out} with newer values left out" if left_out else ""
    told += f": at least {MIN_COMPARED_SHARE:.0%} of {pairs.height + left_out} are needed" if few else ""
    reason = Reason(
        metric=f"{view.name}.skew",
        outcome=Outcome.FAIL if wrong.height else Outcome.INCONCLUSIVE if few else Outcome.PASS,
        message=told,
        found=wrong.height,
        limit=0,
        unit="entities",
        samples=pairs.height,
    )
    return Verdict.of([reason], {f"{view.name}.differing": _shown(view, wrong)} if wrong.height else None)


def _shown(view: FeatureView, wrong: pl.DataFrame) -> list[dict[str, object]]:
    columns = [f"{f.name}{side}" for f in view.features for side in ("", "_online")]
    return wrong.select(view.entity, *columns).head(WORST_SHOWN).to_dicts()


def nothing_online(use_case: str) -> Verdict:
    """The verdict on a use case that reads nothing online."""
    return _inconclusive("skew", f"{use_case} has no feature view: nothing was compared")


def _unknown(view: FeatureView, why: str) -> Verdict:
    return _inconclusive(f"{view.name}.skew", f"{view.name} {why}: nothing was compared")


def _inconclusive(metric: str, message: str) -> Verdict:
    return Verdict.of([Reason(metric=metric, outcome=Outcome.INCONCLUSIVE, message=message, samples=0)])
