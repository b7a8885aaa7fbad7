"""What Envoy is asked, and how often: a real admin port that counts, and a clock turned by hand."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from serving.gateway.envoy import Envoy


class AdminPort(HTTPServer):
    """Says which versions are in effect."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), AdminHandler)
        self.versions: dict[str, str] = {}
        self.asked = 0

    def stats(self) -> str:
        lines = ["cluster_manager.warming_clusters: 0"]
        if "cds" in self.versions:
            lines.append(f'cluster_manager.cds.version_text: "{self.versions["cds"]}"')
        if "rds" in self.versions:
            lines.append(f'http.in.rds.gateway.version_text: "{self.versions["rds"]}"')
        return "\n".join(lines)


class AdminHandler(BaseHTTPRequestHandler):
    """Answers every GET with the statistics."""

    server: AdminPort

    def do_GET(self) -> None:
        self.server.asked += 1
        body = self.server.stats().encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def port() -> Iterator[AdminPort]:
    with AdminPort() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_envoy_is_asked_every_turn_only_while_something_is_on_its_way(
    port: AdminPort, tmp_path: Path
) -> None:
    clock_s = [100.0]
    envoy = Envoy(tmp_path / "envoy", tmp_path, tmp_path / "log", port=1, admin_port=port.server_port)
    envoy.now_s = lambda: clock_s[0]
    both = {"cds": "c1", "rds": "r1"}
    for kind, version in both.items():
        envoy.write(kind, {"version_info": version})

    port.versions = {"cds": "c1"}
    assert envoy.accepted() == {"cds": "c1", "rds": ""}
    port.versions = both
    assert envoy.accepted() == both  # at once: the routes were on their way
    assert port.asked == 2

    assert envoy.accepted() == both
    assert port.asked == 2
    clock_s[0] += 1
    envoy.accepted()
    assert port.asked == 3

    envoy.write("rds", {"version_info": "r2"})
    assert envoy.accepted() == both
    port.versions = both | {"rds": "r2"}
    assert envoy.accepted() == both | {"rds": "r2"}
    assert port.asked == 5


def test_what_was_in_effect_is_asked_again_when_it_is_written_again(port: AdminPort, tmp_path: Path) -> None:
    envoy = Envoy(tmp_path / "envoy", tmp_path, tmp_path / "log", port=1, admin_port=port.server_port)
    envoy.now_s = lambda: 100.0
    port.versions = both = {"cds": "c1", "rds": "r1"}
    for kind, version in both.items():
        envoy.write(kind, {"version_info": version})
    assert envoy.accepted() == both

    envoy.write("rds", {"version_info": "r2"})
    assert envoy.accepted() == both  # not yet
    port.versions = both | {"rds": "r2"}  # and now it is
    envoy.write("rds", {"version_info": "r1"})
    assert envoy.accepted() == both | {"rds": "r2"}


def test_an_envoy_that_does_not_run_listens_to_nobody(port: AdminPort, tmp_path: Path) -> None:
    envoy = Envoy(tmp_path / "envoy", tmp_path, tmp_path / "log", port=1, admin_port=port.server_port)

    assert not envoy.listening()  # somebody else answers on its admin port
