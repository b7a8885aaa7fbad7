"""FakeRuntime: a real HTTP process with the runtime's flags, readiness and `/metrics`, and no model.

It does what `behaviour.json` in the bundle folder says, read again for each request: `delay_ms`,
`error_share`, `reject_share`, `death_share` (of requests that end the process), `exit_code` (at once, at the
start), `ready` (bool).
"""

import argparse
import json
import os
import random
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LIMIT_S = 0.025


class FakeRuntime(ThreadingHTTPServer):
    """Counts what it answers."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, port: int, bundle: Path, revision: str) -> None:
        self.bundle, self.revision = bundle, revision
        self.lock = threading.Lock()
        self.counts = {200: 0, 422: 0, 500: 0}
        self.slow = self.timed = self.active = 0
        self.draining = False
        super().__init__(("127.0.0.1", port), FakeHandler)

    def behaviour(self) -> dict:
        try:
            return json.loads((self.bundle / "behaviour.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}

    def metrics(self) -> str:
        labels = f'model="m",revision="{self.revision}"'
        lines = ["# TYPE modelway_requests_total counter"]
        lines += [f'modelway_requests_total{{{labels},status="{s}"}} {n}' for s, n in self.counts.items()]
        lines += ["# TYPE modelway_latency_seconds histogram"]
        lines += [f"modelway_latency_seconds_count{{{labels}}} {self.timed}"]
        lines += ["# TYPE modelway_slo_exceeded_total counter"]
        lines += [f"modelway_slo_exceeded_total{{{labels}}} {self.slow}"]
        return "\n".join(lines) + "\n"

    def drain(self) -> None:
        self.draining = True
        while self.active:
            time.sleep(0.01)
        time.sleep(0.1)
        os._exit(0)


class FakeHandler(BaseHTTPRequestHandler):
    """Answers GET for health and metrics, POST for predictions."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: else each answer waits 40 ms for the client's ACK
    disable_nagle_algorithm = True
    server: FakeRuntime

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self.reply(200, self.server.metrics().encode())
        else:
            ready = self.server.behaviour().get("ready", True) and not self.server.draining
            self.reply(200 if ready else 503, b"{}")

    def do_POST(self) -> None:
        server = self.server
        with server.lock:
            server.active += 1
        try:
            self.predict(server)
        finally:
            with server.lock:
                server.active -= 1

    def predict(self, server: FakeRuntime) -> None:
        begun = time.perf_counter()
        self.rfile.read(int(self.headers.get("content-length", 0)))
        asked = server.behaviour()
        time.sleep(asked.get("delay_ms", 0) / 1000)
        if random.random() < asked.get("death_share", 0) or "x-deadly" in self.headers:  # noqa: S311 - no secret
            (server.bundle / f"died-{os.getpid()}").touch()
            os._exit(9)
        drawn = random.random()  # noqa: S311 - no secret
        error, reject = asked.get("error_share", 0), asked.get("reject_share", 0)
        status = 500 if drawn < error else 422 if drawn < error + reject else 200
        with server.lock:
            server.counts[status] += 1
            if status != 422:
                server.timed += 1
                server.slow += time.perf_counter() - begun > LIMIT_S
        self.reply(status, json.dumps({"pid": os.getpid()}).encode())

    def reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-revision", self.server.revision)
        if self.server.draining:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("bundle", "verify-key", "revision", "host", "log-dir"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--port", type=int)
    arguments = parser.parse_args()
    bundle = Path(arguments.bundle)
    server = FakeRuntime(arguments.port, bundle, arguments.revision)
    if "exit_code" in server.behaviour():
        print("error: this bundle is refused", flush=True)  # noqa: T201 - the supervisor reads its last words
        sys.exit(server.behaviour()["exit_code"])
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.drain).start())
    server.serve_forever()


if __name__ == "__main__":
    main()
