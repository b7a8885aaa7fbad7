"""`kill -9` in the middle of a training, then the same command again."""

import json
import os
import signal
import subprocess

import pytest
from cli_commands import LIMIT_S, MODELWAY

from modelway.home import Home

TRAIN = ("train", "iris", "--as-of", "2020-06-01", "--trials", "1", "--json")
MOMENTS = {
    "while-it-reads": "Beginning flow run",
    "while-it-trains": "step split_in_time - Finished",
    "while-it-packs": "steps.decide_gates - ",
    "while-it-registers": "step pack_bundle - Finished",
}
"""What the log says just before."""


def kill_at(home: Home, moment: str) -> int:
    """Start a training, kill it when its log says so; the exit code."""
    process = subprocess.Popen(
        [MODELWAY, *TRAIN],
        env={**os.environ, "MODELWAY_HOME": str(home.root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert any(moment in line for line in process.stderr), "it ended before that moment"
    finally:
        process.send_signal(signal.SIGKILL)
        code = process.wait(LIMIT_S)
        process.stderr.close()
    return code


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_killed_training_leaves_nothing_half_written(orchestration: Home, kept, moment: str):
    before = kept()

    assert kill_at(orchestration, moment) == -signal.SIGKILL

    after = kept()  # opens and verifies whatever is there
    assert after.versions == before.versions


def test_after_the_kills_the_same_command_works(modelway, kept):
    done = modelway(*TRAIN)

    assert done.code == 0, done.err
    [line] = json.loads(done.out)
    assert line["stage"] == "Staging"
    assert line["version"] in kept().versions


def test_a_gateway_on_a_busy_port_is_refused_and_not_started(modelway, busy_port: str):
    from stacks.active import serving_target  # noqa: PLC0415 - the home must be active

    assert modelway(*TRAIN).code == 0

    done = modelway("serve", "iris", "--port", busy_port)

    assert done.code == 3
    assert busy_port in done.complaint[0]
    assert "Traceback" not in done.err
    assert not serving_target().running
