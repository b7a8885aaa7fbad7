"""The whole server without its socket: answers, statuses, metrics, and whose fault an error is."""

import json
import re
from collections.abc import Callable
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from runtime_asking import INFER, PREDICT, Asked, ask, matrix

from modelway.bundle.bundle import write_bundle
from modelway.errors import BundleRejectedError
from serving.runtime.app import App
from serving.runtime.model import Model
from serving.runtime.reply import numbers


def get(app: App, path: str, method: str = "GET") -> tuple[int, Any]:
    answer = app.at_once(Asked(path, method))
    assert answer is not None
    return answer[0], json.loads(answer[2])


def metric(app: App, name: str, **labels: str) -> float:
    answer = app.at_once(Asked("/metrics", "GET"))
    assert answer is not None
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in answer[2].decode().splitlines()
        if line.startswith(f"{name}{{") and all(f'{k}="{v}"' in line for k, v in labels.items())
    )


def sigmoid(score: float) -> float:
    return 1 / (1 + exp(-score))


def test_one_row_is_answered_by_the_graph_and_the_threshold(app: App) -> None:
    status, reply = ask(app, INFER, matrix([2.0, 8.0, 1.0], id="a"))

    assert status == 200
    assert (reply["model_name"], reply["model_version"], reply["id"]) == ("paint", "r1", "a")
    probability, decision = reply["outputs"]
    assert probability["data"] == [pytest.approx(sigmoid(0.5 * 2 - 0.25 * 8 + 1), abs=1e-6)]
    assert {**probability, "data": None} == {
        "name": "probability",
        "datatype": "FP32",
        "shape": [1],
        "data": None,
    }
    assert decision == {"name": "decision", "datatype": "INT64", "shape": [1], "data": [1]}


def test_many_rows_are_answered_like_each_alone(app: App) -> None:
    rows: list[list[float | None]] = [[2.0, 8.0, 1.0], [None, 4.0, None], [-9.0, 0.0, 0.0]]
    _, together = ask(app, INFER, matrix(*rows))
    alone = [ask(app, INFER, matrix(row))[1] for row in rows]

    for at in (0, 1):
        assert together["outputs"][at]["data"] == [reply["outputs"][at]["data"][0] for reply in alone]
    assert together["outputs"][1] == {
        "name": "decision",
        "datatype": "INT64",
        "shape": [3],
        "data": [1, 0, 0],
    }
    assert "id" not in together


def test_only_the_outputs_asked_for_are_sent(app: App) -> None:
    _, reply = ask(app, INFER, matrix([0.0, 0.0, 0.0], outputs=[{"name": "decision"}]))

    assert reply["outputs"] == [{"name": "decision", "datatype": "INT64", "shape": [1], "data": [1]}]


def test_v1_gives_a_list_of_probabilities(app: App) -> None:
    status, reply = ask(
        app, PREDICT, {"instances": [[0, 0, "red"], {"amount": 2, "months": 0, "colour": "green"}]}
    )

    assert (status, reply) == (200, {"predictions": [0.5, pytest.approx(sigmoid(2), abs=1e-6)]})


@pytest.mark.parametrize(("probability", "decision"), [(0.49999997, 0), (0.5, 1), (0.50000006, 1)])
def test_the_threshold_itself_is_positive_in_one_row_and_in_many(
    served: Callable[[str], App], probability: float, decision: int
) -> None:
    app = served("echo")
    for rows in (1, 3):
        _, reply = ask(app, INFER, matrix(*[[probability, 0.0, 0.0]] * rows))
        assert reply["outputs"][1]["data"] == [decision] * rows


@given(st.floats(0, 1, width=32))
def test_numbers_on_the_wire_read_back_as_the_same_float32(value: float) -> None:
    written = numbers(np.array([value], dtype=np.float32))

    assert np.float32(json.loads(written)) == np.float32(value)
    assert len(written) <= 15


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("bad", [None, -0.5, 1.5])
def test_what_is_no_probability_is_our_error_and_never_null(
    served: Callable[[str], App], bad: float | None, rows: int
) -> None:
    app = served("echo")
    status, reply = ask(app, INFER, matrix(*[[bad, 0.0, 0.0]] * rows))

    assert status == 500
    assert "no probability" in reply["error"]
    assert metric(app, "modelway_invalid_outputs_total") == 1  # the rollout judge reads it
    assert metric(app, "modelway_requests_total", status="500") == 1
    assert metric(app, "modelway_latency_seconds_count") == 1


@pytest.mark.parametrize("rows", [1, 2])
def test_a_graph_that_raises_is_a_500_and_the_next_request_is_answered(
    served: Callable[[str], App], rows: int
) -> None:
    app = served("fragile")
    status, reply = ask(app, INFER, matrix(*[[7.0, 0.0, 0.0]] * rows))

    assert status == 500
    assert "the graph failed" in reply["error"]
    assert ask(app, INFER, matrix(*[[0.0, 0.0, 0.0]] * rows))[0] == 200


def test_a_clients_error_is_counted_by_status_and_not_as_latency(app: App) -> None:
    assert ask(app, INFER, b"{")[0] == 400
    assert ask(app, INFER, matrix([1e39, 0.0, 0.0]))[0] == 400

    assert metric(app, "modelway_requests_total", status="400") == 2
    assert metric(app, "modelway_latency_seconds_count") == 0


def test_metrics_count_requests_rows_and_unknown_categories(app: App) -> None:
    ask(app, PREDICT, {"instances": [[0, 0, "mauve"], [0, 0, "red"]]})
    ask(app, INFER, matrix([0.0, 0.0, 0.0]))

    assert metric(app, "modelway_requests_total", status="200", model="paint", revision="r1") == 2
    assert metric(app, "modelway_requests_total", status="200", protocol="v1") == 1
    assert metric(app, "modelway_rows_total") == 3
    assert metric(app, "modelway_unknown_category_total", column="colour") == 1
    assert metric(app, "modelway_prediction_log_dropped_total") == 0


def test_exceedances_are_what_lies_beyond_the_bucket_edge_at_the_limit(app: App) -> None:
    for took_us in (1000, 19_900, 20_000, 20_100, 3_000_000):
        app.models[0].metrics.meter("v2").scored(200, took_us * 1000, 1)

    below = metric(app, "modelway_latency_seconds_bucket", le="0.02")
    assert below == 3
    assert (
        metric(app, "modelway_slo_exceeded_total")
        == metric(app, "modelway_latency_seconds_count") - below
        == 2
    )
    assert metric(app, "modelway_latency_seconds_sum") == pytest.approx(3.061)


def test_metrics_are_in_the_exposition_format(app: App) -> None:
    ask(app, INFER, matrix([0.0, 0.0, 0.0]))
    answer = app.at_once(Asked("/metrics", "GET"))
    assert answer is not None
    sample = re.compile(r'[a-z_]+\{([a-z]+="[^"\n]*",?)+\} [0-9.e+-]+|# (HELP|TYPE) [a-z_]+ .+')

    for line in answer[2].decode().splitlines():
        assert sample.fullmatch(line), line


def test_readiness_is_not_liveness(app: App) -> None:
    ready = [
        "/v2/health/ready",
        "/v2/models/paint/ready",
        "/v2/models/paint/versions/r1/ready",
        "/v1/models/paint",
    ]
    assert [get(app, path)[0] for path in ready] == [200] * 4
    app.ready = False

    assert [get(app, path)[0] for path in ready] == [503] * 4
    assert get(app, "/v2/health/live") == (200, {"live": True})
    assert ask(app, INFER, matrix([0.0, 0.0, 0.0]))[0] == 200


def test_metadata_names_what_can_be_sent(app: App) -> None:
    assert get(app, "/v2")[1]["name"] == "modelway"
    metadata = get(app, "/v2/models/paint")[1]

    assert metadata == get(app, "/v2/models/paint/versions/r1")[1]
    assert metadata["versions"] == ["r1"]
    assert [(tensor["name"], tensor["datatype"]) for tensor in metadata["inputs"]] == [
        ("amount", "FP32"),
        ("months", "FP32"),
        ("colour", "BYTES"),
    ]
    assert [tensor["name"] for tensor in metadata["outputs"]] == ["probability", "decision"]


@pytest.mark.parametrize("path", ["/v2", "/v2/health/ready", "/v2/models/paint", "/metrics", "/openapi.json"])
def test_what_can_be_got_can_be_asked_for_without_its_body(app: App, path: str) -> None:
    """The transport leaves the body out; its length and all else are GET's (RFC 9110, 9.1 and 9.3.2)."""
    assert app.at_once(Asked(path, "HEAD")) == app.at_once(Asked(path, "GET"))


def test_head_is_for_what_is_only_read(app: App) -> None:
    assert get(app, INFER, "HEAD")[0] == 405
    answer = app.at_once(Asked("/v2", "PUT"))
    assert answer is not None
    assert (answer[0], dict(answer[1])["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v2/models/other", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("POST", "/v2/models/paint/versions/r2/infer", 404),
        ("POST", "/v2/models/paint/infer/", 404),
        ("GET", INFER, 405),
        ("DELETE", PREDICT, 405),
        ("POST", "/v2/health/live", 405),
        ("POST", "/metrics", 405),
    ],
)
def test_what_is_not_there_is_said(app: App, method: str, path: str, status: int) -> None:
    found, reply = get(app, path, method)

    assert found == status
    assert reply["error"]


def test_every_answer_names_the_revision(app: App) -> None:
    seen = [
        app.at_once(Asked("/metrics", "GET")),
        app.at_once(Asked("/v2", "GET")),
        app.refuse(413, "x"),
        app.at_once(Asked("/x", "GET")),
    ]

    assert all(("x-revision", "r1") in answer[1] for answer in seen if answer is not None)
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("takes", "gives", "how", "says"),
    [
        ("float[N, 2] features", "float[N, 2] probability", "Identity(features)", r"shape \[rows, 3\]"),
        ("float[1, 3] features", "float[1, 3] probability", "Identity(features)", r"shape \[rows, 3\]"),
        ("float[N, 3] x", "float[N, 3] probability", "Identity(x)", "one float input"),
        ("float[N, 3] features", "float[N, 3] y", "Identity(features)", "float output"),
        ("float[N, 3] features", "int64[N, 3] probability", "Cast<to = 7>(features)", "float output"),
        ("float[N, 3] features", "float[N, 3] probability", "Identity(features)", "3 answers for 1 row"),
        ("float[N, 3] features", "float[N, 3] probability", "MatMul(features, features)", "cannot be run"),
    ],
)
def test_a_signed_graph_that_breaks_its_signature_is_refused(
    bundled: Callable[[str], Any], takes: str, gives: str, how: str, says: str
) -> None:
    result = gives.rsplit(maxsplit=1)[-1]
    graph = f'<ir_version: 8, opset_import: ["" : 17]> g ({takes}) => ({gives}) {{ {result} = {how} }}'

    with pytest.raises(BundleRejectedError, match=says):
        Model(bundled(graph))


def test_bytes_that_are_no_graph_are_refused(bundled: Callable[[str], Any], tmp_path: Path) -> None:
    bundle = bundled("echo")
    parts = {"onnx": b"no graph", "reference": b"", "card": "", "slo": bundle.slo, "lineage": bundle.lineage}
    key = Ed25519PrivateKey.generate()
    signed = write_bundle(tmp_path / "other", signature=bundle.signature, key=key, **parts)

    with pytest.raises(BundleRejectedError, match=r"model\.onnx cannot be loaded"):
        Model(signed)
