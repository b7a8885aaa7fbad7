"""Two ways to run pods: at once and without processes, or as real model servers."""

import http.client
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from fake_objects import Object

from serving.runtime.exposition import exposition
from serving.runtime.metrics import Metrics

LIMIT_MS = 25.0


def condition(ready: bool) -> list[Object]:
    return [{"type": "Ready", "status": str(ready)}]


def revision_of(pod: Object) -> str:
    return str(pod["metadata"]["labels"].get("modelway-revision", ""))


class InstantKubelet:
    """Pods are ready when made, unless their Deployment is held back. What they count, tests say."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        """By Deployment: how many pods become ready at most."""
        self.counts: dict[str, Metrics] = {}
        """By pod: the runtime's own counters, so that the text is the real one."""
        self.restarts: dict[str, int] = {}
        self.silent: set[str] = set()
        self.says: dict[str, tuple[int, bytes]] = {}
        """By revision: what its pods answer to a question; one half for one row where nothing is said."""
        self.asked: list[tuple[str, str]] = []
        self._ready: dict[str, set[str]] = {}
        self._revisions: dict[str, str] = {}

    def start(self, pod: Object) -> None:
        name = pod["metadata"]["name"]
        self._revisions[name] = revision_of(pod)
        self.counts[name] = self._metrics(revision_of(pod))

    def stop(self, name: str) -> None:
        self.counts.pop(name, None)
        for ready in self._ready.values():
            ready.discard(name)

    def crash(self, name: str) -> None:
        """The container begins anew, its counters with it."""
        self.restarts[name] = self.restarts.get(name, 0) + 1
        self.counts[name] = self._metrics(self._revisions[name])

    def status(self, pod: Object) -> Object:
        name, deployment = pod["metadata"]["name"], pod["metadata"]["labels"]["app"].removeprefix("isvc.")
        ready = self._ready.setdefault(deployment, set())
        if len(ready) < self.held.get(deployment, 10**6):
            ready.add(name)
        container = {
            "name": "kserve-container",
            "restartCount": self.restarts.get(name, 0),
            "state": {"running": {}},
        }
        return {"conditions": condition(name in ready), "containerStatuses": [container]}

    def metrics(self, name: str) -> str | None:
        return None if name in self.silent else exposition(self.counts[name].families()).decode()

    def ask(self, name: str, path: str, _body: bytes) -> tuple[int, bytes] | None:
        self.asked.append((name, path))
        half = b'{"outputs": [{"name": "probability", "data": [0.5]}]}'
        return None if name in self.silent else self.says.get(self._revisions[name], (200, half))

    def pods(self, revision: str) -> list[str]:
        return [name for name, runs in self._revisions.items() if runs == revision and name in self.counts]

    def answer(self, pod: str, status: int, took_ms: float = 1.0) -> None:
        """Count one answer as the runtime would."""
        self.counts[pod].meter("v2").scored(status, int(took_ms * 1e6), 1)

    def _metrics(self, revision: str) -> Metrics:
        metrics = Metrics(model="paint", revision=revision, limit_ms=LIMIT_MS)
        metrics.meter("v2")
        return metrics


class ProcessKubelet:
    """Each pod is a `serving.runtime` process whose bundle was fetched from the storage address."""

    def __init__(self, folder: Path, verify_key: Path) -> None:
        self._folder, self._key = folder, verify_key
        self._commands: dict[str, list[str]] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ended: dict[str, list[str]] = {}
        """By pod: what each of its containers that ended had said."""
        self._ports: dict[str, int] = {}
        self._leaving: list[threading.Thread] = []
        self.pre_stop: Callable[[int], None] = lambda _port: None
        """Runs before SIGTERM, as the hook of our runtimes does: until nobody sends to the port any more."""

    def start(self, pod: Object) -> None:
        name, container = pod["metadata"]["name"], pod["spec"]["containers"][0]
        source = next(each["value"] for each in container["env"] if each["name"] == "STORAGE_URI")
        bundle = self._folder / name / "models"
        shutil.copytree(source.removeprefix("file://"), bundle)
        own = ["--bundle", str(bundle), "--verify-key", str(self._key), "--port", "0", "--drain-s", "0.3"]
        self._commands[name] = [sys.executable, "-m", "serving.runtime", *own, *container["args"]]
        self._ended[name] = []
        self._launch(name)

    def stop(self, name: str) -> None:
        """Begin to end a pod; the cluster goes on meanwhile."""
        process = self._processes.pop(name, None)
        if process is not None:
            leaving = threading.Thread(target=self._end, args=(process, self.port(name)))
            leaving.start()
            self._leaving.append(leaving)

    def stop_all(self) -> None:
        for name in list(self._processes):
            self.stop(name)
        for leaving in self._leaving:
            leaving.join()

    def status(self, pod: Object) -> Object:
        """How a pod is; a container that has ended is started anew, at once and for ever."""
        name = pod["metadata"]["name"]
        process, container = self._processes[name], {"name": "kserve-container", "state": {"running": {}}}
        if process.poll() is not None:
            self._ended[name].append(self._log(name))
            self._launch(name)
        ended = self._ended[name]
        if ended:
            container["lastState"] = {"terminated": {"reason": "Error", "message": ended[-1]}}
        ready = self._get(name, "/v2/health/ready") is not None
        return {
            "conditions": condition(ready),
            "containerStatuses": [container | {"restartCount": len(ended)}],
        }

    def _launch(self, name: str) -> None:
        self._ports.pop(name, None)
        with (self._folder / name / "log").open("wb") as log:
            self._processes[name] = subprocess.Popen(self._commands[name], stdout=log, stderr=log)

    def _end(self, process: "subprocess.Popen[bytes]", port: int | None) -> None:
        if port is not None:
            self.pre_stop(port)
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()

    def metrics(self, name: str) -> str | None:
        return self._get(name, "/metrics")

    def ask(self, name: str, path: str, body: bytes) -> tuple[int, bytes] | None:
        port = self.port(name)
        if port is None:
            return None
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("POST", path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def port(self, name: str) -> int | None:
        """Told by the server's first line of output; None while it has not said it."""
        if name not in self._ports and (found := re.search(r"http://127\.0\.0\.1:(\d+)", self._log(name))):
            self._ports[name] = int(found[1])
        return self._ports.get(name)

    def _log(self, name: str) -> str:
        return (self._folder / name / "log").read_text(errors="replace")

    def _get(self, name: str, path: str) -> str | None:
        port = self.port(name)
        if port is None:
            return None
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return text if answer.status == http.HTTPStatus.OK else None


def wait_for(look: object, limit_s: float = 30.0) -> None:
    """Until it is so."""
    deadline = time.monotonic() + limit_s
    while not look():  # type: ignore[operator]  # a callable
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.02)
