"""Training sets hold what was known on the day, and refuse what cannot be learnt from."""

from datetime import UTC, datetime

import polars as pl
import pytest

from modelway.errors import ConfigError, ContractError, DegenerateColumnError, EmptyWindowError
from modelway.features.definitions import Feature, FeatureSet, FeatureView
from modelway.features.training_set import GROUP, build_training_set, feature_rows
from modelway.training.policy import TrainingPolicy


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def row_only(use_case):
    use_case.features = FeatureSet(row=use_case.features.row)
    return use_case


def test_a_training_set_by_hand(fake_use_case, fake_history):
    # c is the third loan in NY; on 2005-02-01 the rows of a and b were published, its own was not.
    frame = build_training_set(fake_use_case, fake_history, as_of=at("2005-05-01"))

    assert frame.columns == [
        "loan_id", "event_time", "label", "label_matured_at", "amount_kusd", "state", "state_loans",
    ]  # fmt: skip
    assert frame["loan_id"].to_list() == ["a", "b", "c", "d"]
    assert frame["label"].to_list() == [0, 1, 0, 0]
    assert frame["amount_kusd"].to_list() == [1.0, 2.0, 3.0, None]
    assert frame["state_loans"].to_list() == [None, 1.0, 2.0, None]
    assert frame.schema["label"] == pl.Int8
    assert frame.schema["state_loans"] == pl.Float32
    assert frame.schema["state"] == pl.String


def test_a_row_whose_label_has_not_matured_is_left_out_even_when_it_is_already_lost(
    fake_use_case, fake_history
):
    # b is lost on 02-20, but matures on 03-06: taking it now would take positives without their negatives.
    frame = build_training_set(row_only(fake_use_case), fake_history, as_of=at("2005-03-05"))

    assert frame["loan_id"].to_list() == ["a"]


def test_the_window_is_matured_history_before_as_of(fake_use_case, fake_history):
    # b matures on 03-06, c on 04-01, d on 05-01.
    frame = build_training_set(row_only(fake_use_case), fake_history, as_of=at("2005-04-30"), window_months=1)

    assert frame["loan_id"].to_list() == ["c"]


def test_masked_and_raw_history_give_the_same_training_set(fake_use_case, fake_history):
    as_of = at("2005-05-01")
    lost = pl.when(pl.col("lost_at") <= as_of)
    masked = fake_history.filter(pl.col("known_at") <= as_of).with_columns(
        lost.then("lost_at").alias("lost_at"), lost.then("collected_usd").alias("collected_usd")
    )

    from_raw = build_training_set(fake_use_case, fake_history, as_of=as_of)

    assert build_training_set(fake_use_case, masked, as_of=as_of).equals(from_raw)


def test_the_group_of_each_row_comes_along_and_must_be_a_column(fake_use_case, fake_history):
    plain = build_training_set(fake_use_case, fake_history, as_of=at("2005-05-01"))
    fake_use_case.training = TrainingPolicy(group="state")

    grouped = build_training_set(fake_use_case, fake_history, as_of=at("2005-05-01"))

    states = fake_history.collect().select("loan_id", "state")
    assert grouped.drop(GROUP).equals(plain)
    assert grouped[GROUP].equals(plain.drop("state").join(states, on="loan_id", how="left")["state"])
    fake_use_case.training = TrainingPolicy(group="branch")
    with pytest.raises(ConfigError, match="no column branch"):
        build_training_set(fake_use_case, fake_history, as_of=at("2005-05-01"))


def test_a_naive_date_is_read_as_utc(fake_use_case, fake_history):
    naive = build_training_set(fake_use_case, fake_history, as_of=datetime(2005, 5, 1))  # noqa: DTZ001 - the point

    assert naive.equals(build_training_set(fake_use_case, fake_history, as_of=at("2005-05-01")))


def test_an_empty_window_says_when_labels_do_mature(fake_use_case, fake_history):
    with pytest.raises(EmptyWindowError) as caught:
        build_training_set(fake_use_case, fake_history, as_of=at("1999-01-01"))

    assert "12 months before 1999-01-01" in caught.value.found
    assert "2005-03-02 to 2005-08-01" in caught.value.expected


def test_no_history_at_all_is_an_empty_window(fake_use_case, fake_history):
    with pytest.raises(EmptyWindowError, match="no label of fake"):
        build_training_set(fake_use_case, fake_history.head(0), as_of=at("2005-05-01"))


@pytest.mark.parametrize("empty", [None, float("nan")], ids=["null", "nan"])
def test_a_column_without_any_value_is_named(fake_use_case, fake_history, empty):
    history = fake_history.with_columns(pl.lit(empty, pl.Float64).alias("amount_usd"))

    with pytest.raises(DegenerateColumnError, match="no value at all in amount_kusd among 4 rows"):
        build_training_set(fake_use_case, history, as_of=at("2005-05-01"))


def with_row(use_case, *features):
    use_case.features = FeatureSet(row=features, views=use_case.features.views)
    return use_case


def test_feature_rows_keep_the_order_given_and_need_no_label(fake_use_case, fake_history):
    frame = feature_rows(fake_use_case, fake_history, fake_history)

    assert frame["loan_id"].to_list() == ["c", "a", "b", "d", "e"]
    assert frame.columns == ["loan_id", "event_time", *fake_use_case.features.names]
    assert frame["state_loans"].to_list() == [2.0, None, 1.0, None, None]


def test_what_became_known_after_the_row_is_missing_from_its_features(fake_use_case, fake_history):
    use_case = with_row(fake_use_case, Feature(name="collected", sql="collected_usd"))

    frame = feature_rows(use_case, fake_history, fake_history)

    assert frame["collected"].null_count() == frame.height


def test_a_division_by_zero_is_a_missing_value(fake_use_case, fake_history):
    use_case = with_row(fake_use_case, Feature(name="ratio", sql="amount_usd / 0"))

    assert feature_rows(use_case, fake_history, fake_history)["ratio"].null_count() == 5


def test_a_forbidden_column_cannot_become_a_feature(fake_use_case, fake_history):
    use_case = with_row(fake_use_case, Feature(name="months", sql="term_months / 12"))

    with pytest.raises(ConfigError, match="months uses term_months, which the contract forbids"):
        feature_rows(use_case, fake_history, fake_history)


def test_a_misspelt_column_is_named(fake_use_case, fake_history):
    use_case = with_row(fake_use_case, Feature(name="amount", sql="amuont_usd + 1"))

    with pytest.raises(ConfigError, match="uses amuont_usd, which the data does not have"):
        feature_rows(use_case, fake_history, fake_history)


def test_an_expression_that_is_no_sql_is_refused(fake_use_case, fake_history):
    use_case = with_row(fake_use_case, Feature(name="amount", sql="amount_usd +* 1"))

    with pytest.raises(ConfigError, match="amount has an expression that cannot be read"):
        feature_rows(use_case, fake_history, fake_history)


def test_text_that_is_no_number_is_a_contract_error(fake_use_case, fake_history):
    use_case = with_row(fake_use_case, Feature(name="state_number", sql="state"))

    with pytest.raises(ContractError, match="features of fake cannot be computed"):
        feature_rows(use_case, fake_history, fake_history)


def test_a_view_without_a_clock_is_named(fake_use_case, fake_history):
    view = fake_use_case.features.views[0]
    clockless = FeatureView(**{**dict(view), "compute": lambda h: view.compute(h).drop("known_at")})
    fake_use_case.features = FeatureSet(row=fake_use_case.features.row, views=(clockless,))

    with pytest.raises(ContractError, match="view state_history computes no known_at"):
        feature_rows(fake_use_case, fake_history, fake_history)
