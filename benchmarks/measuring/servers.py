"""A running server: started, asked, weighed with all its processes, stopped with all its processes."""

import http.client
import os
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

from measuring.calls import Call
from measuring.cores import pinned

_START_LIMIT_S, _STOP_LIMIT_S, _POLL_S = 120.0, 10.0, 0.005
_MIB = 2.0**20
ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Server:
    """One server and every process it has started."""

    def __init__(self, name: str, command: list[str], port: int, log: Path, core: str | None) -> None:
        """Start it; its output goes to `log`."""
        self.name, self.port, self._log = name, port, log
        self._seen: dict[int, psutil.Process] = {}
        self._begun_s = time.perf_counter()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*pinned(core), *command],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def await_answer(self, call: Call) -> float:
        """Seconds from its start to its first good answer."""
        while time.perf_counter() - self._begun_s < _START_LIMIT_S:
            if self._process.poll() is not None:
                raise SystemExit(f"{self.name} ended with {self._process.returncode}: {self._last_words()}")
            with suppress(OSError, http.client.HTTPException):
                if self.ask(call)[0] == http.HTTPStatus.OK:
                    return time.perf_counter() - self._begun_s
            time.sleep(_POLL_S)
        raise SystemExit(f"{self.name} did not answer within {_START_LIMIT_S:.0f} s: {self._last_words()}")

    def await_port(self, port: int) -> None:
        """Wait until someone listens on a further port."""
        deadline = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            time.sleep(_POLL_S)
        raise SystemExit(f"{self.name} does not listen on port {port}: {self._last_words()}")

    def ask(self, call: Call) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers (names in lower case) of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", call.path, call.body, dict(call.headers))
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, answer.read(), headers
        finally:
            connection.close()

    def cpu_s(self) -> float:
        """CPU seconds that it and its processes have used."""
        total_s = 0.0
        for process in self._tree():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total_s += times.user + times.system
        return total_s

    def memory_mb(self) -> float:
        """MiB; pages that its processes share are counted once (PSS), a single process by RSS."""
        tree = self._tree()
        if len(tree) == 1:
            return float(tree[0].memory_info().rss / _MIB)
        total = 0.0
        for process in tree:
            with suppress(psutil.NoSuchProcess):
                total += process.memory_full_info().pss / _MIB
        return total

    def stop(self) -> None:
        """SIGTERM, then SIGKILL to whatever of it is left, in other sessions too."""
        tree = [*self._tree(), *self._seen.values()]
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_LIMIT_S)
        for process in tree:
            with suppress(psutil.NoSuchProcess):  # psutil compares start times: never a stranger's pid
                process.kill()
        self._process.wait(_STOP_LIMIT_S)
        psutil.wait_procs(tree, timeout=_STOP_LIMIT_S)

    def _tree(self) -> list[psutil.Process]:
        try:
            root = psutil.Process(self._process.pid)
            tree = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
        self._seen |= {process.pid: process for process in tree}
        return tree

    def _last_words(self) -> str:
        return os.linesep + self._log.read_text(errors="replace")[-2000:]
