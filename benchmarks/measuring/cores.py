"""One core for the servers, another for the load."""

import os
import shutil
import sys


def cores() -> tuple[str | None, str | None]:
    """For the servers and for the load; none where there is no choice."""
    free = sorted(os.sched_getaffinity(0))
    return (str(free[0]), str(free[1])) if len(free) > 1 and shutil.which("taskset") else (None, None)


def pinned(core: str | None) -> list[str]:
    """What to put before a command."""
    return [] if core is None else ["taskset", "-c", core]


def python() -> list[str]:
    """Our interpreter; -P: from this folder, `serving.py` would pass for the package `serving`."""
    return [sys.executable, "-P"]
