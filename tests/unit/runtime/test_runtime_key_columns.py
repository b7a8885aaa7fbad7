"""Columns that only name rows of the online store: no inputs, but what several views are read by."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator
from runtime_asking import INFER, PREDICT, Asked
from runtime_keyed import DAY_US, NOW_US, put, store

from modelway.bundle.canonical import canonical_json
from modelway.bundle.online import ONLINE_FILE, OnlineFeatures, OnlineView
from modelway.bundle.policy import ByKey, ServingPolicy
from serving.runtime.app import App
from serving.runtime.metadata import model_metadata
from serving.runtime.model import Model
from serving.runtime.openapi import document
from serving.runtime.prediction_log import PredictionLog
from serving.runtime.prediction_table import parquet_writer
from serving.runtime.served import Served
from serving.runtime.settings import Settings

Answered = tuple[int, dict[str, str], Any]
SHOP = OnlineView(name="shop", table="s_shop", entity="shop_id", features=("months",), ttl_s=86_400)
MAKER = OnlineView(name="maker", table="s_maker", entity="maker_id", features=("colour",), ttl_s=86_400)
ONLINE = {ONLINE_FILE: canonical_json(OnlineFeatures(views=(SHOP, MAKER)))}


@pytest.fixture
def app_of(bundled: Callable[..., Any], tmp_path: Path) -> Callable[..., App]:
    path = store(tmp_path / "online.db")
    put(path, SHOP, "s1", {"months": 4.0}, NOW_US - DAY_US // 2)
    put(path, SHOP, "17", {"months": 8.0})
    put(path, MAKER, "m1", {"colour": "green"})

    def make(**masked: str) -> App:
        policy = ServingPolicy(by_key=ByKey(stale="reject", entity_missing="default"), masked=masked)
        bundle = bundled("logistic", policy, ONLINE)
        log = PredictionLog(tmp_path / "log", "r1-1", parquet_writer(bundle, "r1"))
        log.start()
        served = Served(bundle, "r1", Model(bundle), log, settings=Settings(online_store=path))
        served.compose()
        app = App([served])
        app.ready = True
        return app

    return make


def asked(app: App, path: str, document: Any) -> Answered:
    answers: list[Answered] = []
    app.answer(
        Asked(path),
        json.dumps(document).encode(),
        lambda status, headers, body: answers.append((status, dict(headers), json.loads(body))),
        0,
    )
    return answers[0]


def row(**values: Any) -> dict[str, Any]:
    return {"amount": 2.0, "event_time": NOW_US, **values}


def records(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"inputs": [{"name": "records", "datatype": "BYTES", "shape": [len(rows)], "data": list(rows)}]}


def columns(*rows: dict[str, Any]) -> dict[str, Any]:
    kinds = {"amount": "FP32", "months": "FP32", "event_time": "INT64"}
    return {
        "inputs": [
            {
                "name": name,
                "datatype": kinds.get(name, "BYTES"),
                "shape": [len(rows)],
                "data": [each[name] for each in rows],
            }
            for name in rows[0]
        ]
    }


def sigmoid(score: float) -> float:
    return float(1 / (1 + np.exp(-score)))


BY_HAND = sigmoid(0.5 * 2.0 - 0.25 * 4.0 + 1.0)  # green is code 1


@pytest.mark.parametrize("form", [records, columns])
def test_ids_without_the_key_name_the_rows_of_each_view(app_of: Callable[..., App], form: Any) -> None:
    status, _, document = asked(app_of(), INFER, form(row(shop_id="s1", maker_id="m1")))

    assert status == 200, document
    assert document["outputs"][0]["data"] == pytest.approx([BY_HAND], abs=1e-6)
    assert document["parameters"] == {"features_from": "store", "features_age_s": 43_200.0}


def test_v1_asks_so_too_and_many_rows_are_as_each_alone(app_of: Callable[..., App]) -> None:
    app = app_of()
    rows = [row(shop_id="s1", maker_id="m1"), row(shop_id=17, maker_id=None), row(shop_id="?", maker_id="m1")]

    together = asked(app, PREDICT, {"instances": rows})[2]["predictions"]

    alone = [asked(app, PREDICT, {"instances": [each]})[2]["predictions"][0] for each in rows]
    assert together == pytest.approx(alone, abs=1e-6)
    assert together[0] == pytest.approx(BY_HAND, abs=1e-6)
    by_value = [
        {"amount": 2.0, "months": 8.0, "colour": None},
        {"amount": 2.0, "months": None, "colour": "green"},
    ]
    assert together[1:] == asked(app, PREDICT, {"instances": by_value})[2]["predictions"]


def test_a_view_whose_id_is_not_sent_needs_its_columns(app_of: Callable[..., App]) -> None:
    app = app_of()

    status, _, document = asked(app, INFER, records(row(shop_id="s1")))

    assert status == 400
    assert "missing input columns: months, colour" in document["error"]
    assert "maker_id" in document["error"]
    assert "shop_id" not in document["error"].partition("; send null")[2]
    assert asked(app, INFER, records(row(shop_id="s1", colour="green")))[2]["outputs"][0]["data"] == (
        pytest.approx([BY_HAND], abs=1e-6)
    )


def test_a_stale_row_is_refused_by_the_ids_that_were_sent(app_of: Callable[..., App]) -> None:
    late = row(shop_id="s1", maker_id="m1", event_time=NOW_US + 2 * DAY_US)

    status, _, document = asked(app_of(), INFER, records(late))

    assert status == 409
    assert "only values of shop_id 's1', that are older" in document["error"]
    assert "None" not in document["error"]


@pytest.mark.parametrize("wrong", [1.5, True, "x" * 300])
def test_what_is_no_id_is_refused(app_of: Callable[..., App], wrong: Any) -> None:
    status, _, document = asked(app_of(), INFER, records(row(shop_id=wrong, maker_id="m1")))

    assert status == 400
    assert "key" in document["error"]


def test_ids_are_logged_beside_what_they_named_and_with_sent_features_too(
    app_of: Callable[..., App], tmp_path: Path
) -> None:
    app = app_of()
    asked(app, INFER, records(row(shop_id="s1", maker_id=None), row(shop_id=17, maker_id="m1")))
    asked(app, INFER, columns({**row(shop_id="s9"), "months": 1.0, "colour": "red"}))
    app.close()

    (path,) = (tmp_path / "log").glob("*.parquet")
    table = pq.read_table(path)
    assert table["_key_shop_id"].to_pylist() == ["s1", "17", "s9"]
    assert table["_key_maker_id"].to_pylist() == [None, "m1", None]
    assert table["_features_from"].to_pylist() == ["store", "store", "request"]
    assert table["_entity_id"].to_pylist() == [None] * 3
    assert table["months"].to_pylist() == [4.0, 8.0, 1.0]


def test_a_policy_can_keep_ids_out_of_the_log(app_of: Callable[..., App], tmp_path: Path) -> None:
    app = app_of(shop_id="drop")
    asked(app, INFER, records(row(shop_id="s1", maker_id="m1")))
    app.close()

    (path,) = (tmp_path / "log").glob("*.parquet")
    table = pq.read_table(path)
    assert table["_key_shop_id"].to_pylist() == [None]
    assert table["_key_maker_id"].to_pylist() == ["m1"]


def test_the_metadata_names_them(app_of: Callable[..., App]) -> None:
    app = app_of()
    told = model_metadata(app.models[0])["parameters"]["log_only_inputs"]
    app.close()

    assert [tensor["name"] for tensor in told] == ["paint_id", "event_time", "maker_id", "shop_id"]


def test_the_document_says_what_may_be_left_out_and_by_what_it_is_found(app_of: Callable[..., App]) -> None:
    app = app_of()
    told = document(app.models, with_repository=False)["components"]["schemas"]
    app.close()

    record = told["paint.Record"]
    assert record["required"] == ["amount"]
    assert {"shop_id", "maker_id", "paint_id"} < set(record["properties"])
    assert "colour by maker_id; months by shop_id" in record["description"]
    asked_for = row(shop_id="s1", maker_id=7)
    Draft202012Validator(record).validate(asked_for)
    assert asked(app_of(), INFER, records(asked_for))[0] == 200
    names = told["paint.V2Request"]["properties"]["inputs"]["items"]["properties"]["name"]["enum"]
    assert {"shop_id", "maker_id"} < set(names)
