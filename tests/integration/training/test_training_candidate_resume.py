"""A fit that SIGKILL ended goes on where it was and ends in the same bytes."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from resume_task import PARAMS, fit

from modelway.training.candidates import checkpoints

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELWAY_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def every_epoch(monkeypatch):
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.0)


def kept(home):
    return sorted((home / "scratch" / "fits").glob("*"))


def killed(kind, home):
    """Lines that a child said before it was killed in the middle of an epoch."""
    script = Path(__file__).with_name("resume_task.py")
    child = subprocess.Popen(
        [sys.executable, str(script), kind],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "MODELWAY_HOME": str(home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"},
    )
    with child:
        said = []
        for line in child.stdout:
            said.append(line.strip())
            if said[-1] == "in the middle":
                break
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    return said


def test_a_fit_killed_in_the_middle_of_an_epoch_ends_in_the_same_bytes(
    home, tmp_path_factory, monkeypatch, caplog
):
    kind = "ft_transformer"
    assert killed(kind, home) == ["epoch 1", "epoch 2", "epoch 3", "in the middle"]
    assert len(kept(home)) == 1

    epochs, whole = [], []
    with caplog.at_level(logging.INFO):
        resumed = fit(kind, on_epoch=epochs.append)

    assert "goes on after epoch 3" in caplog.text
    assert not kept(home)
    monkeypatch.setenv("MODELWAY_HOME", str(tmp_path_factory.mktemp("other")))
    assert resumed == fit(kind, on_epoch=whole.append)
    assert epochs == whole


class StopHereError(Exception):
    """Raised at the end of an epoch."""


def stopped_after(number):
    def on_epoch(epoch):
        if epoch.number == number:
            raise StopHereError

    with pytest.raises(StopHereError):
        fit("mlp", on_epoch=on_epoch)


def test_a_fit_that_stops_early_does_so_after_a_stop_too(home, every_epoch, tmp_path_factory, monkeypatch):
    stopped_after(4)
    epochs, whole = [], []
    resumed = fit("mlp", on_epoch=epochs.append)

    monkeypatch.setenv("MODELWAY_HOME", str(tmp_path_factory.mktemp("other")))
    assert resumed == fit("mlp", on_epoch=whole.append)
    assert epochs == whole
    assert len(whole) < PARAMS["mlp"]["epochs"]


def test_another_seed_is_another_fit(home, every_epoch, caplog):
    stopped_after(3)

    with caplog.at_level(logging.INFO):
        fit("mlp", seed=4)

    assert "goes on" not in caplog.text
    assert len(kept(home)) == 1


def test_a_damaged_checkpoint_is_told_and_not_used(home, every_epoch, caplog, tmp_path_factory, monkeypatch):
    stopped_after(3)
    (path,) = kept(home)
    path.write_bytes(path.read_bytes()[:-1] + b"?")

    again = fit("mlp")

    assert "damaged" in caplog.text
    monkeypatch.setenv("MODELWAY_HOME", str(tmp_path_factory.mktemp("other")))
    assert again == fit("mlp")


def test_a_home_that_takes_nothing_stops_no_training(home, every_epoch, caplog):
    (home / "scratch").write_text("a file where a folder belongs")

    fit("mlp")

    assert "cannot be resumed" in caplog.text


def test_old_checkpoints_go(home, every_epoch, monkeypatch):
    folder = home / "scratch" / "fits"
    folder.mkdir(parents=True)
    for number in range(5):
        (folder / f"{number}").write_bytes(b"of a fit nobody started again")
        os.utime(folder / f"{number}", (number, number))
    monkeypatch.setattr(checkpoints, "KEPT", 3)

    stopped_after(3)

    assert {"3", "4"} < {path.name for path in kept(home)}
    assert len(kept(home)) == 3
