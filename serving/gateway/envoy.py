"""The Envoy process and its admin port."""

import http.client
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from serving.gateway import xds
from serving.gateway.files import put
from serving.gateway.process import Child
from serving.gateway.wires import Json

_ADMIN_TIMEOUT_S = 1.0
_DRAIN_S = 15.0  # no request lives longer: see the routes' time limit
_END_S = 5.0
_POLL_S = 0.05
_HOLDS_S = 1.0
"""How long an answer holds where nothing is on its way. Asked every turn, an idle Envoy was 1 % of a core."""


def admin(port: int, path: str, *, method: str = "GET") -> str | None:
    """What Envoy's admin port answers; None when it does not."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ADMIN_TIMEOUT_S)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read().decode()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return body if response.status == http.HTTPStatus.OK else None


def counters(port: int) -> Mapping[str, int] | None:
    """Every counter and gauge by name; None when Envoy does not answer."""
    text = admin(port, "/stats?filter=upstream_rq_(5xx|retry|completed)$")
    if text is None:
        return None
    pairs = (line.rsplit(": ", 1) for line in text.splitlines() if ": " in line)
    return {name: int(value) for name, value in pairs if value.isdigit()}


_HEALTHY = re.compile(r"^(?:grpc_)?rev_[^:]+::127\.0\.0\.1:(\d+)::health_flags::healthy$", re.MULTILINE)


class Envoy:
    """One Envoy with its watched files. `accepted` says what it has really taken over."""

    now_s: Callable[[], float] = staticmethod(time.monotonic)

    def __init__(self, binary: Path, folder: Path, log: Path, *, port: int, admin_port: int) -> None:
        """Name everything; starts nothing."""
        self._binary = binary
        self._folder = folder
        self._log = log
        self._port = port
        self._admin_port = admin_port
        self._child: Child | None = None
        self._written: dict[str, str] = {}
        self._accepted: Mapping[str, str] = {}
        self._accepted_until_s = self._listens_until_s = 0.0

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._child.pid if self.running and self._child else None

    @property
    def running(self) -> bool:
        """The process is there."""
        return self._child is not None and self._child.exit_code is None

    @property
    def problem(self) -> str:
        """Why it is not running, in its own words."""
        return self._child.last_words() if self._child and not self.running else ""

    def start(self) -> None:
        """Start it on the files that were written last."""
        config = self._folder / "bootstrap.json"
        put(config, json.dumps(xds.bootstrap(self._folder, port=self._port, admin_port=self._admin_port)))
        options = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
        self._child = Child.start([str(self._binary), "--config-path", str(config), *options], self._log)
        self._accepted, self._accepted_until_s, self._listens_until_s = {}, 0.0, 0.0

    def adopt(self, pid: int) -> None:
        """Go on with an Envoy that was started before this process replaced its own program."""
        self._child = Child.adopt(pid, self._log)

    def write(self, kind: str, document: Json) -> str:
        """Put a discovery document where Envoy watches, if it is another than before. Returns its version."""
        version = str(document["version_info"])
        if self._written.get(kind) != version:
            put(self._folder / kind / f"{kind}.json", json.dumps(document))
            self._written[kind] = version
            self._accepted_until_s = 0.0  # what was in effect before, and is again to be, may not be now
        return version

    def listening(self) -> bool:
        """It has a configuration and takes requests. A yes holds for a second, or until the process ends."""
        if not self.running:
            return False
        if self.now_s() >= self._listens_until_s:
            if admin(self._admin_port, "/ready") is None:
                return False
            self._listens_until_s = self.now_s() + _HOLDS_S
        return True

    def accepted(self) -> Mapping[str, str]:
        """Versions in effect by kind (`cds`, `rds`); a kind is missing while it is not fully in effect.

        Once all that was written is in effect, that holds for a second: only we write.
        """
        if self._accepted != self._written or self.now_s() >= self._accepted_until_s:
            self._accepted, self._accepted_until_s = self._in_effect(), self.now_s() + _HOLDS_S
        return self._accepted

    def _in_effect(self) -> Mapping[str, str]:
        text = admin(self._admin_port, "/stats?filter=(version_text|warming_clusters)$") or ""
        stats = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        versions = {"rds": stats.get(f"http.{xds.STAT_PREFIX}.rds.{xds.ROUTE_CONFIG}.version_text", "")}
        if stats.get("cluster_manager.warming_clusters") == "0":
            versions["cds"] = stats.get("cluster_manager.cds.version_text", "")
        return {kind: version.strip('"') for kind, version in versions.items()}

    def healthy_ports(self) -> frozenset[int]:
        """Replica ports that its own probes have found ready: before that it answers 503 in their place."""
        text = admin(self._admin_port, "/clusters") or ""
        return frozenset(int(port) for port in _HEALTHY.findall(text))

    def stop(self) -> None:
        """Take no new connection, finish the requests under way, then end."""
        if self._child is None:
            return
        admin(self._admin_port, "/healthcheck/fail", method="POST")  # answers now say "connection: close"
        admin(self._admin_port, "/drain_listeners", method="POST")
        self._wait_until_idle()
        self._child.terminate()
        if not self._child.wait(_END_S):
            self._child.kill()
            self._child.wait(_END_S)

    def _wait_until_idle(self) -> None:
        deadline_s = time.monotonic() + _DRAIN_S
        while time.monotonic() < deadline_s and self._active_requests():
            time.sleep(_POLL_S)

    def _active_requests(self) -> int:
        text = admin(self._admin_port, f"/stats?filter=^http.{xds.STAT_PREFIX}.downstream_rq_active$") or ""
        _, _, value = text.strip().partition(": ")
        return int(value) if value.isdigit() else 0
