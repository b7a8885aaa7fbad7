"""What the bundle says of online features, and what cannot be asked by key."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from modelway.bundle.online import OnlineView
from modelway.bundle.policy import ByKey, ServingPolicy
from modelway.contract import Column, DataContract
from modelway.errors import ConfigError, ContractError, EmptyWindowError
from modelway.features.by_key import SUBJECT, described, online_views, recent_enough, subject_view
from modelway.features.definitions import Feature, FeatureSet, FeatureView
from modelway.features.store import FeatureStore
from modelway.features.values import view_rows
from modelway.usecase import load_use_case

TIME = pl.Datetime("us", "UTC")
JAN = datetime(2005, 1, 1, tzinfo=UTC)
ROW = (
    Feature(name="amount"),
    Feature(name="share", sql="amount / 4"),
    Feature(name="state", kind="category"),
)


def view(**changes: Any) -> FeatureView:
    parts = {"name": "moods", "entity": "state", "ttl_days": 60, "compute": lambda history: history}
    return FeatureView(**{**parts, "features": (Feature(name="mood"),), **changes})


def use_case(*views: FeatureView, by_key: ByKey | None = None) -> Any:
    contract = DataContract(
        version="1",
        key="loan",
        columns=(
            Column(name="loan", kind="string"),
            Column(name="event_time", kind="timestamp"),
            Column(name="known_at", kind="timestamp"),
            Column(name="amount", kind="float"),
            Column(name="state", kind="string", nullable=True),
            Column(name="closed_at", kind="timestamp", nullable=True, known_from="closed_at"),
        ),
    )
    return SimpleNamespace(
        name="shop-2",
        contract=contract,
        features=FeatureSet(row=ROW, views=views),
        serving=ServingPolicy(by_key=by_key),
    )


def test_a_use_case_that_asks_for_nothing_keeps_nothing_more() -> None:
    plain = use_case(view())

    assert described(plain) is None
    assert online_views(plain) == plain.features.views
    assert described(load_use_case("iris")) is None


def test_the_bundle_says_where_each_column_lies() -> None:
    found = described(use_case(view(), by_key=ByKey(subject_ttl_days=10)))

    assert found is not None
    assert found.subject == OnlineView(
        name=SUBJECT,
        table="shop_2_subject",
        entity="loan",
        features=("amount", "share", "state"),
        ttl_s=864_000,
    )
    assert found.views == (
        OnlineView(name="moods", table="shop_2_moods", entity="state", features=("mood",), ttl_s=5_184_000),
    )
    assert found.all == (found.subject, *found.views)


def test_without_a_time_to_live_subjects_are_not_kept() -> None:
    found = described(use_case(view(), by_key=ByKey()))

    assert found is not None
    assert (found.subject, len(found.all)) == (None, 1)


def test_every_column_of_credit_comes_from_the_store() -> None:
    credit = load_use_case("credit")
    found = described(credit)

    assert found is not None
    assert {name for each in found.all for name in each.features} == set(credit.features.names)


@pytest.mark.parametrize("entity", ["amount", "city"])
def test_a_view_that_no_request_can_name_is_refused(entity: str) -> None:
    with pytest.raises(ConfigError, match=f"moods.*{entity}"):
        described(use_case(view(entity=entity), by_key=ByKey()))


def test_a_view_of_the_key_itself_is_allowed() -> None:
    assert described(use_case(view(entity="loan"), by_key=ByKey())) is not None


def test_the_subjects_name_is_taken() -> None:
    with pytest.raises(ConfigError, match=SUBJECT):
        subject_view(use_case(view(name=SUBJECT), by_key=ByKey(subject_ttl_days=1)))


def test_a_subjects_row_is_made_of_what_training_sees() -> None:
    mine = use_case(by_key=ByKey(subject_ttl_days=10))
    kept = subject_view(mine)
    assert kept is not None
    history = pl.LazyFrame(
        {
            "loan": ["a", "b"],
            "event_time": [JAN, JAN + timedelta(days=20)],
            "known_at": [JAN, JAN + timedelta(days=20)],
            "amount": [2.0, 6.0],
            "state": ["NY", None],
            "closed_at": [None, None],
        },
        schema_overrides={"event_time": TIME, "known_at": TIME, "closed_at": TIME},
    )

    rows = view_rows(kept, history).collect()
    assert rows.select("loan", "amount", "share", "state").rows() == [
        ("a", 2.0, 0.5, "NY"),
        ("b", 6.0, 1.5, None),
    ]
    recent = recent_enough(kept, history, JAN + timedelta(days=25)).collect()
    assert recent["loan"].to_list() == ["b"]
    assert recent_enough(view(), history, JAN + timedelta(days=25)).collect().height == 2


def test_a_misspelt_rule_is_refused() -> None:
    with pytest.raises(ValidationError):
        ByKey(missing="ignore")  # type: ignore[arg-type]  # on purpose


def test_a_history_without_what_a_view_reads_is_named_with_the_view() -> None:
    broken = view(compute=lambda history: history.with_columns(mood=pl.col("gone") * 2))

    with pytest.raises(ContractError, match="view moods cannot be computed from this history"):
        view_rows(broken, pl.LazyFrame({"state": ["NY"], "event_time": [JAN], "known_at": [JAN]}))


@pytest.mark.parametrize("as_of", [JAN - timedelta(days=1), JAN + timedelta(days=1)])
def test_a_restart_forgets_nothing_until_there_is_something_to_write(tmp_path, monkeypatch, as_of) -> None:
    """A mistyped day, or a view that cannot be computed, is not to empty the store under a server."""
    done: list[str] = []
    monkeypatch.setattr(FeatureStore, "clear", lambda *_: done.append("clear"))
    monkeypatch.setattr(FeatureStore, "apply", lambda *_: done.append("apply"))
    monkeypatch.setattr(FeatureStore, "_write", lambda *_, **__: done.append("write"))
    history = pl.LazyFrame({"state": ["NY"], "event_time": [JAN], "known_at": [JAN], "mood": [1.0]})
    (tmp_path / "shop_2" / "offline").mkdir(parents=True)

    with nullcontext() if as_of > JAN else pytest.raises(EmptyWindowError):
        FeatureStore(tmp_path).materialise(use_case(view()), history, as_of=as_of, restart=True)

    assert done == (["clear", "apply", "write"] if as_of > JAN else [])
