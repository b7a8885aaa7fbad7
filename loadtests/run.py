"""Start a load test in a process of its own, wait for it or stop it, and read its report.

Locust's gevent patches the process it runs in: threads, sockets, subprocesses. Never ours.
"""

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from loadtests.options import SLO_FILE, LoadOptions, make_options
from loadtests.outputs import VERDICT_FILE, LoadReport, read_report
from modelway.errors import ConfigError, InfrastructureError, NotReadyError, StorageError

LOG_FILE = "loadtest.log"
_STARTUP_S = 60.0
"""Import of Locust and reading of rows on a busy machine."""


class LoadHandle:
    """A load test that is under way. Ends with this process: its standard input closes."""

    def __init__(self, options: LoadOptions, process: "subprocess.Popen[bytes]") -> None:
        """Made by `start_load`."""
        self.options, self._process = options, process

    @property
    def running(self) -> bool:
        """Whether it still offers load."""
        return self._process.poll() is None

    def wait(self, timeout_s: float | None = None) -> LoadReport:
        """Wait for the end of the schedule.

        Args:
            timeout_s: None waits as long as the run may take.

        Raises:
            NotReadyError: It has not ended in time; it goes on.
            ConfigError: It did not start: rows or options are wrong.
            InfrastructureError: It ended without a verdict.
        """
        try:
            self._process.wait(timeout_s or self._longest_s)
        except subprocess.TimeoutExpired as error:
            raise NotReadyError(
                f"the load test still runs after {timeout_s or self._longest_s:.0f} s",
                expected="an end of its schedule",
                remedy=f"look at {self.options.out / LOG_FILE}, or stop it",
            ) from error
        self._close()
        return self._report()

    def stop(self) -> LoadReport:
        """End it now, and report on what was offered so far.

        Raises:
            As `wait`.
        """
        self._close()
        return self.wait(_STARTUP_S + 2 * self.options.timeout_s)

    def kill(self) -> None:
        """End it without a report."""
        self._close()
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        """For `with`: the process is gone afterwards, whatever happened."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Leave nothing running."""
        if self.running:
            self.kill()

    @property
    def _longest_s(self) -> float:
        from loadtests.bodies import expected_duration_s  # noqa: PLC0415 - polars, only here

        return _STARTUP_S + expected_duration_s(self.options) + 2 * self.options.timeout_s

    def _close(self) -> None:
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()

    def _report(self) -> LoadReport:
        if (self.options.out / VERDICT_FILE).exists():
            return read_report(self.options.out)
        raise _failure(self._process.returncode, self.options.out / LOG_FILE)


def _failure(code: int, log: Path) -> Exception:
    lines = log.read_text("utf-8", "replace").strip().splitlines() if log.exists() else []
    said = next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1] if lines else "")
    kind = ConfigError if code == ConfigError.exit_code else InfrastructureError
    return kind(
        f"the load test ended with code {code}: {said.removeprefix('error: ') or 'it said nothing'}",
        expected="exit code 0, 1 or 3 and a verdict",
        remedy=f"its whole log is in {log}",
    )


def start_load(options: LoadOptions) -> LoadHandle:
    """Start a load test in the background, e.g. under a canary.

    Raises:
        StorageError: The output folder cannot be written.
    """
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / VERDICT_FILE).unlink(missing_ok=True)
        (options.out / SLO_FILE).write_text(yaml.safe_dump(options.slo.model_dump()), "utf-8")
        log = (options.out / LOG_FILE).open("wb")
    except OSError as error:
        raise StorageError(
            f"cannot write to {options.out}: {error.strerror}",
            expected="a folder for the load test's files",
            remedy="free space or name another folder",
        ) from error
    with log:
        process = subprocess.Popen(
            [sys.executable, "-m", "loadtests", *options.arguments(), "--stop-on-eof"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,  # Ctrl-C reaches us; we close its input, and it ends in order
        )
    return LoadHandle(options, process)


def _environment() -> dict[str, str]:
    """This process's, with our packages found from any folder."""
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)
    return {**os.environ, "PYTHONPATH": path}


def run_load(**given: object) -> LoadReport:
    """Run one load test and wait for its verdict. Takes the fields of `LoadOptions`.

    Raises:
        ConfigError: An option is wrong, or the rows cannot be sent.
        StorageError: The output folder cannot be written.
        InfrastructureError: The load test ended without a verdict.
    """
    with start_load(make_options(**given)) as load:
        return load.wait()
