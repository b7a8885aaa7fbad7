"""Train the irises and be killed at one point: run by test_flows_interrupted.

Usage: train_and_die.py STEP WHEN, where WHEN is `before`, `middle` (its first file is written but not yet in
place) or `after` (its work is done and not yet recorded). Without words: to the end, then once more with
nothing taken from a cache; prints both bundles' digests.
"""

import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from zenml.steps import BaseStep

from flows import training
from flows.bridge import output
from stacks.environment import activate_home

CONFIG = {"use_case": "iris", "as_of": datetime(2020, 6, 1, tzinfo=UTC), "trials": 1, "seed": 4242}


def die(*_args: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(step: str, when: str) -> None:
    call = BaseStep.call_entrypoint

    def call_entrypoint(self, *args, **kwargs):
        if self.name != step:
            return call(self, *args, **kwargs)
        if when == "before":
            die()
        if when == "middle":
            Path.replace = die
        made = call(self, *args, **kwargs)
        die()
        return made

    BaseStep.call_entrypoint = call_entrypoint


def take_nothing_from_the_cache() -> None:
    for each in vars(training).values():
        if isinstance(each, BaseStep):
            each.configure(enable_cache=False)


def digest() -> str:
    run = training.training_flow(training.TrainingConfig(**CONFIG))
    return str(output(run, "bundle"))


def main(*words: str) -> None:
    activate_home()
    if words:
        arm(*words)
        digest()
        return
    resumed = digest()
    take_nothing_from_the_cache()
    sys.stdout.write(f"\n{resumed} {digest()}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
