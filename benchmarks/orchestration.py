"""What a step costs: Prefect alone, ZenML alone on its local orchestrator, and ours, which is both.

    .venv/bin/python benchmarks/orchestration.py [--rounds 7]

The marginal cost: the difference between a run of many trivial steps and one of few, divided by the
difference in steps, so that start-up does not count. Best of the rounds, all in one process, taking turns, on
the same components but for the orchestrator, in a home of its own: in memory where there is /dev/shm, for a
busy disk's flushes would hide the differences. A Prefect flow run waits at its end for a thread that sleeps
whole seconds; that is a cost per run, not per step, and would round what is measured: it is off here.
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

FEW, MANY = 5, 15
LIMIT = 1.5
"""What ours may cost, as a multiple of ZenML alone."""


def main() -> int:
    """Measure, print the table; 1 when ours costs more than it may."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a private folder in it
    with tempfile.TemporaryDirectory(prefix="modelway-bench-", dir=memory) as folder:
        os.environ["MODELWAY_HOME"] = folder
        os.environ.pop("PREFECT_API_URL", None)
        os.environ["PREFECT_LOGGING_LEVEL"] = os.environ["ZENML_LOGGING_VERBOSITY"] = "WARNING"
        ratio = _measure_and_print(rounds)
    return 0 if ratio <= LIMIT else 1


def _measure_and_print(rounds: int) -> float:
    from stacks.environment import activate_home  # noqa: PLC0415 - the home has to be set before

    home = activate_home()
    from stacks.prefect_server import ensure_server, stop_server  # noqa: PLC0415 - as above

    ensure_server(home)
    try:
        return _print(_measured(_contenders(), rounds))
    finally:
        stop_server(home)


def _contenders() -> dict[str, Callable[[int], Any]]:
    from benchmarks.orchestrating import contenders as flows  # noqa: PLC0415 - Prefect and ZenML, after the home

    return {
        "Prefect alone": flows.prefect_alone,
        "ZenML alone, local orchestrator": flows.zenml_alone,
        "ours: both, one run": flows.ours,
    }


def _measured(contenders: dict[str, Callable[[int], Any]], rounds: int) -> dict[str, tuple[float, float]]:
    """Marginal milliseconds a step, (wall, processor), by contender."""
    logging.disable(logging.INFO)
    best: dict[tuple[str, int], tuple[float, float]] = {}
    for run in contenders.values():
        run(1)
    for _ in range(rounds):
        for name, run in contenders.items():
            for steps in (FEW, MANY):
                best[name, steps] = min(best.get((name, steps), (1e9, 1e9)), _timed(run, steps))
    return {name: _slope(best[name, FEW], best[name, MANY]) for name in contenders}


def _timed(run: Callable[[int], Any], steps: int) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    run(steps)
    return time.perf_counter() - wall, time.process_time() - processor


def _slope(few: tuple[float, float], many: tuple[float, float]) -> tuple[float, float]:
    wall_ms, processor_ms = (1000 * (b - a) / (MANY - FEW) for a, b in zip(few, many, strict=True))
    return wall_ms, processor_ms


def _print(found: dict[str, tuple[float, float]]) -> float:
    reference = found["ZenML alone, local orchestrator"][0]
    print(f"{'trivial step, marginal':34} {'wall ms':>8} {'cpu ms':>8} {'of ZenML':>9}")
    for name, (wall_ms, processor_ms) in found.items():
        print(f"{name:34} {wall_ms:8.1f} {processor_ms:8.1f} {wall_ms / reference:8.2f}x")
    ratio = found["ours: both, one run"][0] / reference
    print(f"ours is {ratio:.2f} times ZenML alone; at most {LIMIT} is allowed")
    return ratio


if __name__ == "__main__":
    sys.exit(main())
