"""What stands behind an address: an answer later, and whose request it is."""

import json
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pyarrow.parquet as pq
import pytest
from runtime_asking import INFER, PREDICT, Asked, matrix

from modelway.bundle.policy import Batching, Fallback, ServingPolicy
from modelway.errors import EmptyWindowError
from modelway.monitoring.monitor import Subject
from modelway.monitoring.predictions import read_predictions
from serving.runtime.app import App
from serving.runtime.model import Model
from serving.runtime.openapi import document
from serving.runtime.prediction_log import PredictionLog
from serving.runtime.prediction_table import parquet_writer
from serving.runtime.served import Served
from serving.runtime.wishes import Wishes, wishes_of


@pytest.fixture
def app_of(bundled: Callable[..., Any], tmp_path: Path) -> Callable[..., App]:
    def make(policy: ServingPolicy | None = None, graph: str = "logistic") -> App:
        bundle = bundled(graph, policy)
        log = PredictionLog(tmp_path / "log", "r1-1", parquet_writer(bundle, "r1"))
        log.start()
        served = Served(bundle, "r1", Model(bundle), log)
        served.compose()
        app = App([served])
        app.ready = True
        return app

    return make


def asked(app: App, path: str, query: str, body: Any) -> tuple[int, Any]:
    answers: SimpleQueue[tuple[int, Any]] = SimpleQueue()
    app.heavy_body_bytes = 1 << 30
    head = Asked(path, query_string=query)
    app.answer(
        head,
        json.dumps(body).encode(),
        lambda status, _, text: answers.put((status, json.loads(text))),
        0,
    )
    return answers.get(timeout=60)


ROW = matrix([1.0, 2.0, 0.0])
INSTANCE = {"instances": [[1.0, 2.0, "red"]]}


@pytest.mark.parametrize(
    ("query", "wishes"),
    [
        ("", Wishes()),
        ("async", Wishes(later=True)),
        ("async=0&purpose=drill", Wishes(purpose="drill")),
        ("purpose=probe&async=true", Wishes(later=True, purpose="probe")),
        ("asynchronous=1&other=2", Wishes()),
    ],
)
def test_what_a_query_says(query: str, wishes: Wishes) -> None:
    assert wishes_of(query) == wishes


@pytest.mark.parametrize("path", [INFER, PREDICT, "/v2/models/paint/versions/r1/infer"])
def test_an_answer_later_is_refused_where_no_jobs_are_kept(app_of: Callable[..., App], path: str) -> None:
    app = app_of()

    status, document_ = asked(app, path, "async", ROW if path != PREDICT else INSTANCE)
    app.close()

    assert status == 400
    assert "keeps no jobs" in document_["error"]
    assert "jobs: {file: PATH}" in document_["error"]


def test_a_purpose_that_is_none_is_refused(app_of: Callable[..., App]) -> None:
    app = app_of()

    status, told = asked(app, INFER, "purpose=fun", ROW)
    app.close()

    assert status == 400
    assert "probe, drill, loadtest" in told["error"]


@pytest.mark.parametrize(
    ("policy", "graph"),
    [
        (None, "logistic"),
        (ServingPolicy(batching=Batching()), "logistic"),
        (ServingPolicy(fallback=Fallback(probability=0.125)), "fragile"),
    ],
)
def test_the_log_tells_users_from_others_on_every_road(
    app_of: Callable[..., App], tmp_path: Path, policy: ServingPolicy | None, graph: str
) -> None:
    app = app_of(policy, graph)
    for path, query, body in (
        (INFER, "", ROW),
        (INFER, "purpose=drill", matrix([1.0, 2.0, 0.0], [0.0, 1.0, 2.0])),
        (PREDICT, "purpose=loadtest", INSTANCE),
        ("/v2/models/paint/versions/r1/infer", "purpose=probe", ROW),
    ):
        status, _ = asked(app, path, query, body)
        assert status == 200
    app.close()

    (path,) = (tmp_path / "log").glob("*.parquet")
    assert pq.read_table(path)["_purpose"].to_pylist() == [None, "drill", "drill", "loadtest", "probe"]


def test_monitoring_sees_users_alone(app_of: Callable[..., App], tmp_path: Path) -> None:
    app = app_of()
    bundle = app.models[0].bundle
    subject = Subject.of(bundle)
    since, until = subject.as_of, subject.as_of.replace(year=9000)
    asked(app, INFER, "purpose=loadtest", ROW)
    app.close()

    with pytest.raises(EmptyWindowError):
        read_predictions(tmp_path / "log", since=since, until=until, bundle=bundle.digest)
    again = app_of()
    asked(again, INFER, "", ROW)
    again.close()
    found = read_predictions(tmp_path / "log", since=since, until=until)
    assert found.height == 1
    assert "_purpose" not in found.columns


def test_the_document_speaks_of_jobs_where_there_are_some(app_of: Callable[..., App]) -> None:
    app = app_of()
    without, with_jobs = (
        document(app.models, with_repository=False, with_jobs=jobs) for jobs in (False, True)
    )
    app.close()

    for path in (INFER, PREDICT):
        names = [
            {each["name"] for each in told["paths"][path]["post"]["parameters"]}
            for told in (without, with_jobs)
        ]
        assert names[1] - names[0] == {"async", "Idempotency-Key"}
        assert "202" in with_jobs["paths"][path]["post"]["responses"]
        assert "202" not in without["paths"][path]["post"]["responses"]
    assert set(with_jobs["paths"]) - set(without["paths"]) == {
        "/v2/jobs/{job_id}",
        "/v2/jobs/{job_id}/result",
    }
