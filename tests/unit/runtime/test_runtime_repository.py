"""Models come and go while requests run: versions, signatures that do not hold, who may ask."""

import gc
import json
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from runtime_asking import INFER, Asked, matrix

from modelway.bundle.bundle import MODEL_FILE, Bundle
from modelway.bundle.policy import Batching
from modelway.errors import ConfigError
from serving.runtime.app import App
from serving.runtime.batching import Batcher
from serving.runtime.model import Model
from serving.runtime.repository import Folder, OneBundle, Repository
from serving.runtime.served import Served

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
LOAD, UNLOAD = "/v2/repository/models/paint/load", "/v2/repository/models/paint/unload"
Ask = Callable[..., tuple[int, Any]]


def open_bundle(folder: Path, revision: str) -> Served:
    bundle = Bundle.open(folder, verify_key=KEY)
    served = Served(bundle, revision, Model(bundle))
    served.warm_up()
    return served


@pytest.fixture
def root(tmp_path: Path, bundled: Callable[[str], Bundle]) -> Path:
    """Versions 9 (echo) and 10 (logistic) of `paint`."""
    for version, graph in (("9", "echo"), ("10", "logistic")):
        shutil.copytree(bundled(graph).path, tmp_path / "repository" / "paint" / version)
    return tmp_path / "repository"


@pytest.fixture
def started(root: Path) -> Iterator[App]:
    repository = Repository(Folder(root), open_bundle, control=True)
    app = App(repository.begin(), None, repository)
    app.ready = True
    yield app
    app.close()


def ask(app: App, path: str, body: Any = None, method: str = "POST") -> tuple[int, Any]:
    """Ask as the transport does, and wait for the answer."""
    head, came, answers = Asked(path, method), threading.Event(), []
    at_once = app.at_once(head)
    if at_once is not None:
        return at_once[0], json.loads(at_once[2])

    def respond(status: int, _headers: Any, reply: bytes) -> None:
        answers.append((status, json.loads(reply)))
        came.set()

    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    app.answer(head, raw, respond, time.perf_counter_ns())
    assert came.wait(30)
    return answers[0]


def probability(app: App, version: str | None = None) -> tuple[int, Any]:
    path = INFER if version is None else f"/v2/models/paint/versions/{version}/infer"
    status, reply = ask(app, path, matrix([0.25, 0.0, 0.0]))
    return status, (
        reply["model_version"],
        round(reply["outputs"][0]["data"][0], 4),
    ) if status == 200 else reply


def test_the_newest_version_answers_and_every_one_can_be_named(started: App) -> None:
    logistic = 0.5312  # 1 / (1 + e^-0.125)

    assert probability(started) == (200, ("10", logistic))
    assert probability(started, "10") == (200, ("10", logistic))
    assert probability(started, "9") == (200, ("9", 0.25))
    assert probability(started, "8")[0] == 404
    assert ask(started, "/v2/models/paint", method="GET")[1]["versions"] == ["10", "9"]
    assert ask(started, "/v2/models/paint/versions/9/ready", method="GET")[0] == 200


def test_a_new_version_answers_after_the_next_load(started: App, root: Path) -> None:
    shutil.copytree(root / "paint" / "9", root / "paint" / "11")
    assert probability(started)[1][0] == "10"

    assert ask(started, LOAD) == (200, {"name": "paint", "load": True})
    assert probability(started) == (200, ("11", 0.25))
    assert probability(started, "10")[0] == 200


def test_unloaded_is_not_ready_and_loaded_is_ready_again(started: App) -> None:
    assert ask(started, UNLOAD, {}) == (200, {"name": "paint", "unload": True})

    status, reply = probability(started)
    assert status == 503
    assert "not loaded" in reply["error"]
    for path in ("/v2/models/paint/ready", "/v1/models/paint", "/v2/health/ready"):
        assert ask(started, path, method="GET")[0] == 503
    assert ask(started, "/v2/health/live", method="GET")[0] == 200
    assert ask(started, UNLOAD)[0] == 200
    assert ask(started, LOAD)[0] == 200
    assert probability(started)[0] == 200
    assert ask(started, "/v2/health/ready", method="GET")[0] == 200


def test_the_index_names_all_or_only_those_that_answer(started: App, root: Path) -> None:
    shutil.copytree(root / "paint" / "9", root / "paint" / "11")
    everything = ask(started, "/v2/repository/index")[1]

    assert [(row["version"], row["state"]) for row in everything] == [
        ("11", "UNAVAILABLE"),
        ("10", "READY"),
        ("9", "READY"),
    ]
    assert [row["version"] for row in ask(started, "/v2/repository/index", {"ready": True})[1]] == ["10", "9"]
    ask(started, UNLOAD)
    assert ask(started, "/v2/repository/index", {"ready": True})[1] == []
    assert {row["reason"] for row in ask(started, "/v2/repository/index", {})[1]} == {"unloaded"}


@pytest.mark.parametrize("spoil", ["altered", "unsigned", "elsewhere"])
def test_a_bundle_that_does_not_hold_is_not_loaded_and_the_old_ones_go_on(
    started: App, root: Path, spoil: str
) -> None:
    if spoil == "elsewhere":
        (root / "wood").mkdir()
        (root / "paint" / "9").rename(root / "wood" / "1")
        path, before = "/v2/repository/models/wood/load", probability(started)
    else:
        new = shutil.copytree(root / "paint" / "9", root / "paint" / "11")
        if spoil == "altered":
            (new / MODEL_FILE).write_bytes((new / MODEL_FILE).read_bytes() + b"\0")
        else:
            (new / "MANIFEST.sig").write_bytes(bytes(64))
        path, before = LOAD, probability(started)
    status, reply = ask(started, path)

    assert status == 400
    assert {"altered": MODEL_FILE, "unsigned": "signature", "elsewhere": "signed for the model 'paint'"}[
        spoil
    ] in (reply["error"])
    assert probability(started) == before
    reasons = {row["reason"] for row in ask(started, "/v2/repository/index")[1] if row["state"] != "READY"}
    assert any("not" in reason or "signed" in reason for reason in reasons)


@pytest.mark.parametrize("verb", ["load", "unload"])
@pytest.mark.parametrize("name", ["other", "..", "a b", "%2e%2e", "paint/9"])
def test_a_model_that_is_not_there_is_a_404(started: App, verb: str, name: str) -> None:
    assert ask(started, f"/v2/repository/models/{name}/{verb}")[0] == 404


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"ready": 1}', b"\xff"])
def test_an_index_request_that_is_none_is_refused(started: App, body: bytes) -> None:
    assert ask(started, "/v2/repository/index", body)[0] == 400


def test_addresses_of_the_repository_are_posts(started: App) -> None:
    assert ask(started, LOAD, method="GET")[0] == 405
    assert ask(started, "/v2/repository/models/paint/reload")[0] == 404
    assert ask(started, "/v2/repository/models//load")[0] == 404


def test_clients_may_not_load_unless_the_server_was_told_so(root: Path) -> None:
    repository = Repository(Folder(root), open_bundle)
    app = App(repository.begin(), None, repository)
    app.ready = True

    assert ask(app, UNLOAD)[0] == ask(app, LOAD)[0] == 403
    assert probability(app)[0] == ask(app, "/v2/repository/index")[0] == 200


def test_one_bundle_can_be_unloaded_and_is_verified_when_it_is_loaded_again(
    bundled: Callable[[str], Bundle],
) -> None:
    bundle = bundled("logistic")
    repository = Repository(OneBundle("paint", "r1", bundle.path), open_bundle, control=True)
    first = open_bundle(bundle.path, "r1")
    repository.adopt([first])
    app = App([first], None, repository)
    app.ready = True

    assert ask(app, "/v2/repository/index")[1] == [
        {"name": "paint", "version": "r1", "state": "READY", "reason": ""}
    ]
    assert ask(app, UNLOAD)[0] == 200
    assert probability(app)[0] == 503
    kept = (bundle.path / MODEL_FILE).read_bytes()
    (bundle.path / MODEL_FILE).write_bytes(kept[:-1])
    assert ask(app, LOAD)[0] == 400
    assert probability(app)[0] == 503
    (bundle.path / MODEL_FILE).write_bytes(kept)
    assert ask(app, LOAD)[0] == 200
    assert probability(app)[0] == 200


def test_a_model_that_comes_while_the_server_drains_is_not_ready(started: App) -> None:
    started.ready = False
    assert ask(started, LOAD)[0] == 200

    assert ask(started, "/v2/models/paint/ready", method="GET")[0] == 503


def test_every_request_is_answered_while_versions_are_swapped(started: App, root: Path) -> None:
    stop, seen = threading.Event(), set()

    def keep_asking() -> None:
        while not stop.is_set():
            status, answer = probability(started)
            seen.add((status, answer if status != 200 else answer[0]))

    askers = [threading.Thread(target=keep_asking) for _ in range(3)]
    for asker in askers:
        asker.start()
    for version in ("11", "12", "13"):
        shutil.copytree(root / "paint" / "9", root / "paint" / version)
        assert ask(started, LOAD)[0] == 200
    assert probability(started)[1][0] == "13"
    stop.set()
    for asker in askers:
        asker.join(30)

    assert {status for status, _ in seen} == {200}


def test_a_retired_model_is_let_go_and_its_threads_end(started: App) -> None:
    old = started.models[0]
    batcher = Batcher(old.model, 3, Batching(), old.metrics)
    batcher.start()
    old._stages.append(batcher)
    gone, lanes = weakref.ref(old), list(batcher._lanes)
    assert lanes
    assert all(lane.is_alive() for lane in lanes)
    assert ask(started, LOAD)[0] == 200
    del old
    gc.collect()

    assert gone() is None
    for lane in lanes:
        lane.join(30)
        assert not lane.is_alive()
    assert probability(started)[0] == 200


def test_a_request_whose_model_goes_between_head_and_body_is_told_so(started: App) -> None:
    answers: list[Any] = []
    assert started.at_once(Asked(INFER)) is None
    assert ask(started, UNLOAD)[0] == 200
    started.answer(Asked(INFER), b"{}", lambda *answer: answers.append(answer), 0)

    assert answers[0][0] == 503


@pytest.mark.parametrize("make", [lambda path: path / "missing", lambda path: path])
def test_a_repository_without_a_model_is_no_server(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    (tmp_path / "paint").mkdir()
    with pytest.raises(ConfigError):
        Repository(Folder(make(tmp_path)), open_bundle).begin()
