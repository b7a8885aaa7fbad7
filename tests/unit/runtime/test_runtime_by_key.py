"""A request that names its subject is scored as if it had brought what the online store holds of it."""

import json
import sqlite3
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from runtime_asking import INFER, PREDICT, Asked
from runtime_keyed import DAY_US, NOW_US, ONLINE, PALETTE, SUBJECT, put, store

from modelway.bundle.policy import ByKey, Fallback, ServingPolicy
from modelway.errors import ConfigError
from modelway.features.join import TIME, as_of_join
from serving.runtime.app import App
from serving.runtime.model import Model
from serving.runtime.online_store import OnlineStore
from serving.runtime.prediction_log import PredictionLog
from serving.runtime.prediction_table import parquet_writer
from serving.runtime.problems import StoreError
from serving.runtime.served import Served
from serving.runtime.settings import Settings

Answered = tuple[int, dict[str, str], Any]
Ask = Callable[..., Answered]
AT = {"name": "event_time", "datatype": "INT64"}


@pytest.fixture
def online(tmp_path: Path) -> Path:
    path = store(tmp_path / "online.db")
    put(path, SUBJECT, "p1", {"amount": 2.0, "colour": "green"})
    put(path, SUBJECT, "p2", {"amount": -1.0, "colour": None})
    put(path, SUBJECT, "p3", {"amount": 0.5, "colour": "mauve"})
    put(path, PALETTE, "green", {"months": 4.0}, NOW_US - DAY_US // 2)
    return path


@pytest.fixture
def app_of(bundled: Callable[..., Any], online: Path) -> Callable[..., App]:
    def make(
        by_key: ByKey | None = None, fallback: float | None = None, *, graph: str = "logistic", **more: Any
    ) -> App:
        rule = None if fallback is None else Fallback(probability=fallback)
        bundle = bundled(graph, ServingPolicy(by_key=by_key or ByKey(), fallback=rule), ONLINE)
        log = more.pop("log", lambda _bundle: None)(bundle)
        served = Served(bundle, "r1", Model(bundle), log, settings=Settings(online_store=online))
        served.compose()
        app = App([served])
        app.ready = True
        return app

    return make


def asked(app: App, path: str, document: Mapping[str, Any]) -> Answered:
    answers: list[Answered] = []
    app.heavy_body_bytes = 1 << 30
    app.answer(
        Asked(path),
        json.dumps(document).encode(),
        lambda status, headers, body: answers.append((status, dict(headers), json.loads(body))),
        0,
    )
    assert len(answers) == 1
    return answers[0]


def keyed(*keys: str | None, at_us: int = NOW_US, **columns: tuple[str, list[Any]]) -> dict[str, Any]:
    shape = [len(keys)]
    tensors = [
        {"name": name, "shape": shape, "datatype": kind, "data": data}
        for name, (kind, data) in columns.items()
    ]
    key = {"name": "paint_id", "shape": shape, "datatype": "BYTES", "data": list(keys)}
    return {"inputs": [key, {**AT, "shape": shape, "data": [at_us] * len(keys)}, *tensors]}


def by_value(*rows: tuple[float | None, float | None, str | None]) -> dict[str, Any]:
    names, kinds = ("amount", "months", "colour"), ("FP32", "FP32", "BYTES")
    return {
        "inputs": [
            {"name": name, "shape": [len(rows)], "datatype": kind, "data": [row[at] for row in rows]}
            for at, (name, kind) in enumerate(zip(names, kinds, strict=True))
        ]
    }


def probabilities(answer: Answered) -> list[float]:
    status, _, document = answer
    assert status == 200, document
    return next(output["data"] for output in document["outputs"] if output["name"] == "probability")


def sigmoid(score: float) -> float:
    return float(1 / (1 + np.exp(-score)))


def test_a_key_alone_is_answered_as_its_features_would_be(app_of: Callable[..., App]) -> None:
    app = app_of()

    answer = asked(app, INFER, keyed("p1"))

    by_hand = sigmoid(0.5 * 2.0 - 0.25 * 4.0 + 1.0 * 1)  # green is code 1
    assert probabilities(answer) == pytest.approx([by_hand], abs=1e-6)
    assert answer[2]["outputs"] == asked(app, INFER, by_value((2.0, 4.0, "green")))[2]["outputs"]


def test_many_keys_are_answered_like_each_alone_in_their_order(app_of: Callable[..., App]) -> None:
    app = app_of()

    together = probabilities(asked(app, INFER, keyed("p3", "p1", "p2", "p1")))

    alone = [probabilities(asked(app, INFER, keyed(key)))[0] for key in ("p3", "p1", "p2", "p1")]
    assert together == pytest.approx(alone, abs=1e-6)


def test_the_answer_says_that_the_store_was_asked_and_how_old_its_oldest_value_is(
    app_of: Callable[..., App],
) -> None:
    app = app_of()

    _, headers, document = asked(app, INFER, keyed("p1"))

    assert document["parameters"] == {"features_from": "store", "features_age_s": 43_200.0}
    assert (headers["x-features-from"], headers["x-features-age-s"]) == ("store", "43200")
    _, headers, document = asked(app, INFER, by_value((2.0, 4.0, "green")))
    assert "parameters" not in document
    assert "x-features-from" not in headers


def test_columns_of_the_request_go_before_the_stores(app_of: Callable[..., App]) -> None:
    app = app_of()

    answer = asked(app, INFER, keyed("p1", amount=("FP32", [8.0])))

    assert probabilities(answer) == probabilities(asked(app, INFER, by_value((8.0, 4.0, "green"))))


def test_a_subject_that_nobody_stored_is_scored_when_its_own_columns_come_along(
    app_of: Callable[..., App],
) -> None:
    answer = asked(app_of(), INFER, keyed("new", amount=("FP32", [2.0]), colour=("BYTES", ["green"])))

    assert probabilities(answer) == pytest.approx([sigmoid(0.5 * 2 - 0.25 * 4 + 1)], abs=1e-6)


def test_v1_asks_by_key_too(app_of: Callable[..., App]) -> None:
    app = app_of()

    status, headers, document = asked(
        app, PREDICT, {"instances": [{"paint_id": key, "event_time": NOW_US} for key in ("p1", "p3")]}
    )

    assert status == 200
    assert document["predictions"] == probabilities(asked(app, INFER, keyed("p1", "p3")))
    assert headers["x-features-from"] == "store"


@pytest.mark.parametrize(
    ("instances", "says"),
    [
        ([{"paint_id": "p1"}, {"paint_id": "p1", "amount": 1}], "same columns"),
        ([{"paint_id": "p1", "amount": [1]}], "numbers, strings"),
        ([{"paint_id": "p1", "weight": 1}], "weight"),
        ([{"amount": 1}], "missing input columns: months, colour"),
    ],
)
def test_v1_instances_by_key_are_held_to_one_form(
    app_of: Callable[..., App], instances: list[Any], says: str
) -> None:
    status, _, document = asked(app_of(), PREDICT, {"instances": instances})

    assert status == 400
    assert says in document["error"]


@pytest.mark.parametrize("colour", ["\ud800", "", "\x00", "'; DROP TABLE modelway_rows; --"])
def test_an_entity_that_no_store_can_hold_is_an_unknown_one(app_of: Callable[..., App], colour: str) -> None:
    request = keyed("p1", "p2", colour=("BYTES", [colour, colour]), amount=("FP32", [1.0, float("nan")]))

    assert asked(app_of(ByKey(entity_missing="reject")), INFER, request)[0] == 404
    assert asked(app_of(ByKey(entity_missing="default")), INFER, request)[0] == 200


def test_nan_in_a_record_by_key_is_a_missing_value(app_of: Callable[..., App]) -> None:
    def ask(colour: Any) -> list[float]:
        row = {"paint_id": "p1", "event_time": NOW_US, "colour": colour}
        one = {"name": "records", "datatype": "BYTES", "shape": [1], "data": [row]}
        return probabilities(asked(app_of(), INFER, {"inputs": [one]}))

    assert ask(float("nan")) == ask(None)


def test_an_unknown_key_is_refused_by_name_and_view(app_of: Callable[..., App]) -> None:
    status, _, document = asked(app_of(), INFER, keyed("p1", "p9"))

    assert status == 404
    assert "subject" in document["error"]
    assert "paint_id 'p9'" in document["error"]


@pytest.mark.parametrize(("age_us", "status"), [(DAY_US, 200), (DAY_US + 1, 409)])
def test_a_value_counts_to_the_last_microsecond_of_its_time_to_live(
    app_of: Callable[..., App], online: Path, age_us: int, status: int
) -> None:
    put(online, PALETTE, "green", {"months": 4.0}, NOW_US - age_us)

    answer = asked(app_of(), INFER, keyed("p1"))

    assert answer[0] == status
    if status == 409:
        assert "palette" in answer[2]["error"]
        assert "colour 'green'" in answer[2]["error"]


def test_a_value_from_after_the_rows_moment_is_not_used(app_of: Callable[..., App]) -> None:
    status, _, document = asked(app_of(), INFER, keyed("p1", at_us=NOW_US - 1))

    assert status == 404
    assert "subject" in document["error"]


@pytest.mark.parametrize(("late_us", "status"), [(0, 200), (1, 404)])
def test_a_value_that_became_known_after_the_rows_moment_is_not_used(
    app_of: Callable[..., App], online: Path, late_us: int, status: int
) -> None:
    """True long before, but nobody could have said so: training would not have seen it either."""
    put(online, PALETTE, "green", {"months": 4.0}, NOW_US - DAY_US // 2, known_us=NOW_US + late_us)

    answer = asked(app_of(ByKey(entity_missing="reject")), INFER, keyed("p1"))

    assert answer[0] == status
    assert ("palette" in json.dumps(answer[2])) == (status == 404)


def test_on_every_side_of_both_clocks_it_serves_what_the_join_of_training_gives(
    app_of: Callable[..., App], online: Path
) -> None:
    near = (-DAY_US - 1, -DAY_US, -1, 0, 1)
    moments = [(event, known) for event in near for known in near]
    app = app_of(ByKey(entity_missing="reject", stale="reject"))
    served = []
    for event, known in moments:
        put(online, PALETTE, "green", {"months": 4.0}, NOW_US + event, NOW_US + known)
        served.append(asked(app, INFER, keyed("p1"))[0] == 200)

    facts = pl.DataFrame({"at": [NOW_US] * len(moments), "row": range(len(moments))})
    rows = pl.DataFrame(moments, schema=["event_time", "known_at"], orient="row") + NOW_US
    told = rows.with_columns(row=facts["row"], months=4.0).with_columns(
        pl.col("event_time", "known_at").cast(TIME)
    )
    asked_for = facts.with_columns(pl.col("at").cast(TIME)).lazy()
    joined = as_of_join(asked_for, told.lazy(), keys=["row"], ttl=timedelta(days=1), at="at").collect()
    assert served == joined["months"].is_not_null().to_list()
    assert 0 < sum(served) < len(served)


def test_the_time_to_live_runs_from_the_event_and_not_from_when_it_was_known(
    app_of: Callable[..., App], online: Path
) -> None:
    put(online, PALETTE, "green", {"months": 4.0}, NOW_US - DAY_US - 1, known_us=NOW_US)

    assert asked(app_of(), INFER, keyed("p1"))[0] == 409


def test_default_scores_what_is_missing_or_stale_as_missing(app_of: Callable[..., App], online: Path) -> None:
    put(online, PALETTE, "green", {"months": 4.0}, NOW_US - 2 * DAY_US)
    app = app_of(ByKey(missing="default", stale="default"))

    found = probabilities(asked(app, INFER, keyed("p1", "p9")))

    assert found == probabilities(asked(app, INFER, by_value((2.0, None, "green"), (None, None, None))))


def test_an_entity_that_a_view_never_saw_is_missing_as_in_training(app_of: Callable[..., App]) -> None:
    app = app_of()

    found = probabilities(asked(app, INFER, keyed("p2", "p3")))

    assert found == probabilities(asked(app, INFER, by_value((-1.0, None, None), (0.5, None, None))))
    status, _, document = asked(app_of(ByKey(entity_missing="reject")), INFER, keyed("p3"))
    assert (status, "colour 'mauve'" in document["error"]) == (404, True)
    assert (
        asked(app_of(ByKey(entity_missing="reject")), INFER, keyed("p2"))[0] == 200
    )  # it has no colour at all


def test_the_fallback_rule_answers_only_the_rows_that_the_store_could_not_fill(
    app_of: Callable[..., App],
) -> None:
    app = app_of(ByKey(missing="fallback"), fallback=0.125)

    status, headers, document = asked(app, INFER, keyed("p1", "p9", "p2"))

    assert status == 200
    found = document["outputs"][0]["data"]
    assert found[1] == 0.125
    assert [found[0], found[2]] == probabilities(asked(app, INFER, keyed("p1", "p2")))
    assert document["parameters"]["fallback"] == headers["x-fallback"] == "missing"
    assert document["parameters"]["fallback_rows"] == "1"
    assert probabilities(asked(app, INFER, keyed("p9"))) == [0.125]
    assert metric(app, "modelway_fallback_total", 'reason="missing"') == 2
    assert metric(app, "modelway_requests_total", 'status="500"') == 0


def metric(app: App, name: str, label: str) -> int:
    _, _, body = app.at_once(Asked("/metrics", "GET")) or (0, [], b"")
    return sum(
        int(float(line.rsplit(" ", 1)[1]))
        for line in body.decode().splitlines()
        if line.startswith(name) and label in line
    )


def test_a_policy_that_falls_back_on_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="names none"):
        ServingPolicy(by_key=ByKey(stale="fallback"))


def test_without_a_store_the_old_answer_stands(bundled: Callable[..., Any]) -> None:
    bundle = bundled("logistic", ServingPolicy(by_key=ByKey()), ONLINE)
    served = Served(bundle, "r1", Model(bundle))
    served.compose()

    status, _, document = asked(App([served]), INFER, keyed("p1"))

    assert status == 400
    assert "missing input columns" in document["error"]


def test_a_store_that_breaks_is_our_fault_and_not_the_clients(
    app_of: Callable[..., App], online: Path
) -> None:
    app = app_of()
    online.unlink()

    status, _, document = asked(app, INFER, keyed("p1"))

    assert status == 500
    assert "online store" in document["error"]
    assert metric(app, "modelway_requests_total", 'status="500"') == 1


def test_rows_of_another_definition_are_no_missing_values(app_of: Callable[..., App], online: Path) -> None:
    put(online, SUBJECT, "p1", {"amount": 2.0})

    status, _, document = asked(app_of(), INFER, keyed("p1"))

    assert status == 500
    assert "without colour" in document["error"]


def test_a_stale_row_of_another_definition_is_stale_like_any(
    app_of: Callable[..., App], online: Path
) -> None:
    """Subjects past their time to live are not materialised again: their rows stay as they were written."""
    put(online, SUBJECT, "old", {"amount": 1.0}, NOW_US - 31 * DAY_US)

    assert asked(app_of(), INFER, keyed("old", "p1"))[0] == 409
    assert len(probabilities(asked(app_of(ByKey(stale="default")), INFER, keyed("old", "p1")))) == 2


def test_a_store_that_was_made_anew_is_opened_anew(app_of: Callable[..., App], online: Path) -> None:
    app = app_of()
    before = probabilities(asked(app, INFER, keyed("p1")))
    fresh = store(online.with_name("fresh.db"))
    put(fresh, SUBJECT, "p1", {"amount": 9.0, "colour": "red"})
    put(fresh, PALETTE, "red", {"months": 1.0})
    for left in online.parent.glob("online.db*"):
        left.unlink()
    fresh.replace(online)

    assert probabilities(asked(app, INFER, keyed("p1"))) != before
    assert probabilities(asked(app, INFER, keyed("p1"))) == pytest.approx([sigmoid(4.5 - 0.25)], abs=1e-6)


def test_a_file_that_is_no_online_store_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"no database" * 100)
    sqlite3.connect(tmp_path / "empty.db").close()

    for name in ("other.db", "empty.db", "absent.db"):
        with pytest.raises(ConfigError, match=name):
            OnlineStore(tmp_path / name)


def test_threads_read_beside_each_other_and_beside_a_writer(online: Path) -> None:
    reader, seen, problems = OnlineStore(online), [], []

    def read() -> None:
        try:
            seen.extend(reader.read(SUBJECT, ["p1", f"p{n % 4}"])["p1"].values["colour"] for n in range(200))
        except StoreError as error:
            problems.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(30):
        put(online, SUBJECT, "p1", {"amount": float(n), "colour": "green"})
    for thread in threads:
        thread.join()
    assert problems == []
    assert seen == ["green"] * 600


def test_the_log_keeps_the_values_used_and_when_they_were_true(
    app_of: Callable[..., App], tmp_path: Path
) -> None:
    folder = tmp_path / "log"

    def logged(bundle: Any) -> PredictionLog:
        log = PredictionLog(folder, "r1-1", parquet_writer(bundle, "r1"))
        log.start()
        return log

    app = app_of(ByKey(missing="fallback"), fallback=0.125, log=logged)
    asked(app, INFER, keyed("p1", "p9"))
    asked(app, INFER, by_value((2.0, 4.0, "green")))
    app.close()

    (path,) = folder.glob("*.parquet")
    rows = pq.read_table(path)
    assert rows["_features_from"].to_pylist() == ["store", "store", "request"]
    assert rows["_at_subject"].cast("int64").to_pylist() == [NOW_US, None, None]
    assert rows["_at_palette"].cast("int64").to_pylist() == [NOW_US - DAY_US // 2, None, None]
    assert rows["_fallback"].to_pylist() == [None, "missing", None]
    assert rows["_entity_id"].to_pylist() == ["p1", "p9", None]
    assert rows["amount"].to_pylist()[0] == rows["amount"].to_pylist()[2] == 2.0
    assert rows["_probability"].to_pylist()[1] == 0.125
