"""One child process: started on a tether, watched, stopped."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from serving.gateway.inherited import Inherited

_TAIL_BYTES = 4096


class Child:
    """A program of ours and its log file."""

    def __init__(self, process: "subprocess.Popen[bytes] | Inherited", log: Path) -> None:
        """Watch a process that runs already; `log` is where it writes."""
        self._process, self.log = process, log

    @classmethod
    def start(cls, command: Sequence[str], log: Path) -> Self:
        """Start a program. Its output is appended to `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        tether = [sys.executable, "-m", "serving.gateway.tether", str(os.getpid())]
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*tether, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        return cls(process, log)

    @classmethod
    def adopt(cls, pid: int, log: Path) -> Self:
        """A child that was started before this process replaced its own program."""
        return cls(Inherited(pid), log)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to drain and end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self._signal(signal.SIGKILL)

    def wait(self, limit_s: float) -> bool:
        """Whether it ended within `limit_s`."""
        try:
            self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def last_words(self) -> str:
        """The last line that it wrote which says what went wrong."""
        with suppress(OSError), self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            lines = [
                line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()
            ]
            telling = [line for line in lines if "error" in line.lower()]
            return (telling or lines or [""])[-1][:300]
        return ""

    def _signal(self, number: int) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
