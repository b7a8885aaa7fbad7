"""The gateway's `settings.yaml` holds for every predictor that is started after it was written."""

import json
import socket
import urllib.request
from collections.abc import Callable

import pytest

from modelway.errors import PortInUseError
from serving.rollout.local import LocalTarget
from serving.rollout.target import Revision

RunsAs = Callable[[str, int], Revision]


def metrics(target: LocalTarget, revision: Revision) -> list[str]:
    status = target.status()
    assert status is not None
    ports = [replica.port for replica in status.revisions[revision.id].replicas]
    pages = [urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) for port in ports]
    return [page.read().decode() for page in pages]


def test_a_gateway_that_was_stopped_begins_with_the_settings_of_now(
    target: LocalTarget, runs_as: RunsAs
) -> None:
    revision = runs_as("good", 1)
    target.deploy(revision, replicas=2)  # what a gateway that was stopped has left: no settings

    (target.root / "settings.yaml").write_text(json.dumps({"limits": {"max_in_flight": 7}}))
    target.serve(revision, replicas=2)

    pages = metrics(target, revision)
    assert len(pages) == 2
    assert all('modelway_in_flight_requests{limit="7"}' in page for page in pages)


def test_a_gateway_that_cannot_listen_is_left_nothing_to_begin_with(
    target: LocalTarget, runs_as: RunsAs
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortInUseError):
        target.serve(runs_as("good", 1), port=taken.getsockname()[1])

    assert target.deployed() == frozenset()
