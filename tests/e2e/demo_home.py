"""A demo's home seen from outside: what it printed, what runs in it, how it is stopped."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

BIN = Path(sys.executable).parent
JSON = "content-type: application/json"
COMMAND_LIMIT_S = 240.0
STARTED_LIMIT_S = 420.0
GONE_LIMIT_S = 90.0


@dataclass
class DemoHome:
    """`outer` is what MODELWAY_HOME was; the demo lives in `outer/demo`."""

    outer: Path

    @property
    def root(self) -> Path:
        return self.outer / "demo"

    @property
    def log(self) -> Path:
        return self.outer.parent / f"{self.outer.name}.log"

    @property
    def said(self) -> str:
        """What the demo has printed so far, in one line: a table's cells may be folded."""
        return self.log.read_text("utf-8") if self.log.exists() else ""

    def environment(self, home: Path) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not _of_a_home(name)}
        return {**kept, "MODELWAY_HOME": str(home), "COLUMNS": "300"}

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """The demo as a shell starts it: leader of a process group that Ctrl-C reaches."""
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [str(BIN / "modelway"), "demo", *options],
                env=self.environment(self.outer),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def modelway(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of somebody who works in the demo's home."""
        return subprocess.run(
            [str(BIN / "modelway"), *arguments],
            env=self.environment(self.root),
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )

    def address(self, title: str) -> str:
        """An address that the demo printed behind a word."""
        found = re.search(rf"{re.escape(title)}.*?(http://127\.0\.0\.1:\d+)", self.said, flags=re.DOTALL)
        assert found, f"no address of {title} was printed:\n{self.said}"
        return found.group(1)

    def flow_runs(self) -> list[dict[str, Any]]:
        """Prefect's flow runs, the oldest first."""
        return self._asked("flow_runs/filter", {"sort": "START_TIME_ASC", "limit": 100})

    def task_runs(self, flow_run_id: str) -> list[dict[str, Any]]:
        """The task runs of a flow run."""
        return self._asked("task_runs/filter", {"flow_runs": {"id": {"any_": [flow_run_id]}}, "limit": 100})

    def _asked(self, path: str, question: dict[str, Any]) -> list[dict[str, Any]]:
        url = f"{self.address('Prefect: ')}/api/{path}"
        command = ["curl", "-sS", "--fail", "-H", JSON, "-d", json.dumps(question), url]
        done = subprocess.run(command, capture_output=True, timeout=90, check=True)
        return json.loads(done.stdout)

    def processes(self) -> list[psutil.Process]:
        """Every process that was started for this home, by its environment or its command line."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                return False
            where = [process.environ().get("MODELWAY_HOME", ""), *process.cmdline()]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False
        return any(str(self.outer) in word for word in where)

    def left_over(self) -> list[list[str]]:
        """Command lines of what still runs after a moment of grace."""
        until(lambda: not self.processes(), GONE_LIMIT_S, must=False)
        return [process.cmdline() for process in self.processes()]

    def kill_everything(self) -> None:
        """Leave nothing on the machine, whatever the test has found."""
        for process in self.processes():
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue


def until(condition: Callable[[], Any], limit_s: float, *, must: bool = True) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            assert not must, "it did not happen in time"
            return
        time.sleep(0.2)


def _of_a_home(name: str) -> bool:
    return name.startswith(("MODELWAY_", "PREFECT_", "ZENML_"))
