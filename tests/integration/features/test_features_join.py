"""The as-of join against a loop that anybody can check by eye."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelway.errors import ContractError
from modelway.features.join import TIME, as_of_join

DAY0 = datetime(2005, 1, 1, tzinfo=UTC)


def day(n: int | None) -> datetime | None:
    return None if n is None else DAY0 + timedelta(days=n)


def entity_frame(rows):
    return pl.LazyFrame(
        {"id": [r[0] for r in rows], "event_time": [day(r[1]) for r in rows], "row": list(range(len(rows)))},
        schema={"id": pl.String, "event_time": TIME, "row": pl.Int64},
    )


def feature_frame(rows):
    columns = {"id": pl.String, "event_time": TIME, "known_at": TIME, "v": pl.Int64}
    values = [
        [r[0] for r in rows],
        [day(r[1]) for r in rows],
        [day(r[2]) for r in rows],
        [r[3] for r in rows],
    ]
    return pl.LazyFrame(dict(zip(columns, values, strict=True)), schema=columns)


def joined(entities, features, ttl_days=None):
    ttl = None if ttl_days is None else timedelta(days=ttl_days)
    return as_of_join(entity_frame(entities), feature_frame(features), keys=["id"], ttl=ttl).collect()


def oracle(entities, features, ttl_days):
    """Look at every feature row for every entity row; keep the newest that was known by then."""
    answers = []
    for entity_id, t in entities:
        usable = [
            (event, known, place, value)
            for place, (feature_id, event, known, value) in enumerate(features)
            if None not in (entity_id, t, event, known)
            and feature_id == entity_id
            and event <= t
            and known <= t
        ]
        best = max(usable, default=None)
        expired = best is not None and ttl_days is not None and t - best[0] > ttl_days
        answers.append(None if best is None or expired else best[3])
    return answers


ids = st.sampled_from(["a", "b", "c", None])
days = st.one_of(st.integers(0, 12), st.none())


@settings(max_examples=400, deadline=None)
@given(
    entities=st.lists(st.tuples(ids, days), max_size=12),
    features=st.lists(st.tuples(ids, days, days, st.one_of(st.integers(0, 99), st.none())), max_size=20),
    ttl_days=st.one_of(st.none(), st.integers(0, 10)),
)
def test_join_agrees_with_the_loop_on_ties_late_news_ttl_nulls_and_duplicates(entities, features, ttl_days):
    result = joined(entities, features, ttl_days)

    assert result["row"].to_list() == list(range(len(entities)))
    assert result["v"].to_list() == oracle(entities, features, ttl_days)


@settings(max_examples=100, deadline=None)
@given(
    entities=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.integers(0, 9)), max_size=8),
    features=st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.integers(0, 9), st.integers(0, 9)),
        max_size=12,
    ),
)
def test_two_keys_join_like_their_concatenation(entities, features):
    left = pl.LazyFrame(
        {
            "p": [r[0] for r in entities],
            "q": [r[1] for r in entities],
            "event_time": [day(r[2]) for r in entities],
        },
        schema={"p": pl.String, "q": pl.String, "event_time": TIME},
    )
    right = pl.LazyFrame(
        {
            "p": [r[0] for r in features],
            "q": [r[1] for r in features],
            "event_time": [day(r[2]) for r in features],
            "known_at": [day(r[3]) for r in features],
            "v": list(range(len(features))),
        },
        schema={"p": pl.String, "q": pl.String, "event_time": TIME, "known_at": TIME, "v": pl.Int64},
    )

    result = as_of_join(left, right, keys=["p", "q"], ttl=None).collect()

    one_key = [(p + q, t) for p, q, t in entities]
    one_key_features = [(p + q, event, known, place) for place, (p, q, event, known) in enumerate(features)]
    assert result["v"].to_list() == oracle(one_key, one_key_features, None)


def test_a_value_that_became_known_later_is_not_used_earlier():
    late = [("a", 1, 1, 10), ("a", 2, 8, 20)]

    assert joined([("a", 7), ("a", 8)], late)["v"].to_list() == [10, 20]


def test_late_news_about_the_past_does_not_replace_newer_knowledge():
    news = [("a", 5, 5, 50), ("a", 2, 9, 20)]

    assert joined([("a", 6), ("a", 10)], news)["v"].to_list() == [50, 50]


def test_a_correction_of_the_same_moment_wins_once_it_is_known():
    corrected = [("a", 3, 3, 30), ("a", 3, 6, 31)]

    assert joined([("a", 5), ("a", 6)], corrected)["v"].to_list() == [30, 31]


def test_a_value_exactly_as_old_as_ttl_is_still_used():
    assert joined([("a", 4), ("a", 5)], [("a", 1, 1, 10)], ttl_days=3)["v"].to_list() == [10, None]


def test_ttl_counts_from_the_event_and_not_from_the_day_it_became_known():
    assert joined([("a", 6)], [("a", 1, 6, 10)], ttl_days=3)["v"].to_list() == [None]


def test_an_expired_value_does_not_uncover_an_older_one():
    assert joined([("a", 9)], [("a", 2, 2, 1), ("a", 3, 3, 2)], ttl_days=5)["v"].to_list() == [None]


def test_no_feature_row_at_all_still_returns_every_entity():
    result = joined([("a", 1), ("b", 2)], [])

    assert result["v"].to_list() == [None, None]
    assert result.columns == ["id", "event_time", "row", "v"]


def test_naive_times_are_read_as_utc():
    naive = entity_frame([("a", 1)]).with_columns(pl.col("event_time").dt.replace_time_zone(None))

    result = as_of_join(naive, feature_frame([("a", 1, 1, 7)]), keys=["id"], ttl=None).collect()

    assert result["v"].to_list() == [7]


def test_the_moment_may_stand_in_another_column():
    entities = entity_frame([("a", 1)]).with_columns(known_at=pl.lit(day(9)).cast(TIME))

    result = as_of_join(entities, feature_frame([("a", 5, 5, 7)]), keys=["id"], ttl=None, at="known_at")

    assert result.collect()["v"].to_list() == [7]


def test_a_missing_clock_is_named():
    with pytest.raises(ContractError, match="lack known_at"):
        as_of_join(entity_frame([]), feature_frame([]).drop("known_at"), keys=["id"], ttl=None)


def test_a_feature_named_like_an_entity_column_is_refused():
    with pytest.raises(ContractError, match="both have row"):
        as_of_join(entity_frame([]), feature_frame([]).rename({"v": "row"}), keys=["id"], ttl=None)
