"""The round trip of `modelway usecase check`: train, hold the graph against the model, bundle, serve, ask."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from modelway.contract import Candidate, Outcome, Verdict
from modelway.usecase import load_use_case
from stacks import roundtrip
from usecases.iris.use_case import IrisUseCase

MODELWAY = str(Path(sys.executable).parent / "modelway")
LIMIT_S = 240


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def outcomes(verdict: Verdict) -> dict[str, Outcome]:
    return {reason.metric: reason.outcome for reason in verdict.reasons}


def running_in(folder: Path) -> list[list[str]]:
    """Command lines that name the folder, whoever's child the process is: other tests run beside this one."""
    found = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
    return [command for command in found if any(str(folder) in each for each in command)]


def test_iris_goes_all_the_way_round_by_its_command(tmp_path: Path):
    done = subprocess.run(
        [MODELWAY, "usecase", "check", "iris", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    verdict = Verdict.model_validate_json(done.stdout)
    assert verdict.passed
    assert [reason.metric for reason in verdict.reasons][-4:] == list(roundtrip.STAGES)
    assert verdict.evidence["not_tried"] == []
    assert not (tmp_path / ".modelway").exists(), "a check keeps nothing"


def test_the_data_alone_is_checked_when_asked(tmp_path: Path):
    done = subprocess.run(
        [MODELWAY, "usecase", "check", "iris", "--data-only", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["evidence"]["not_tried"] == list(roundtrip.STAGES)


def test_an_answer_that_is_not_the_models_fails_and_nothing_is_left(monkeypatch, scratch: Path):
    """The comparison must be able to fail: the model is asked about, the server is real."""
    honest = roundtrip.native_of
    monkeypatch.setattr(roundtrip, "native_of", lambda trained: lambda X: honest(trained)(X) + 0.01)

    verdict = roundtrip.try_round_trip(load_use_case("iris"))

    assert outcomes(verdict) == {
        "train": Outcome.PASS,
        "parity": Outcome.PASS,
        "bundle": Outcome.PASS,
        "serve": Outcome.FAIL,
    }
    assert running_in(scratch) == []
    assert list(scratch.glob("modelway-*")) == []


def test_a_stage_that_fails_is_the_last_one_tried(scratch: Path):
    use_case = IrisUseCase()
    use_case.candidates = (Candidate(kind="hgb", space={}, fixed={"max_itr": 10}),)

    verdict = roundtrip.try_round_trip(use_case)

    assert outcomes(verdict) == {"train": Outcome.FAIL}
    assert "max_itr" in verdict.reasons[0].message
    assert verdict.evidence["not_tried"] == ["parity", "bundle", "serve"]
    assert list(scratch.glob("modelway-*")) == []


def test_a_parity_limit_that_no_export_keeps_stops_before_the_bundle():
    use_case = IrisUseCase()
    use_case.gates = use_case.gates.model_copy(update={"max_parity_error": 1e-15})

    verdict = roundtrip.try_round_trip(use_case)

    assert outcomes(verdict) == {"train": Outcome.PASS, "parity": Outcome.FAIL}
