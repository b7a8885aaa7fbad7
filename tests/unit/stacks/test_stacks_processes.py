"""Background programs: recorded, found again, told from strangers, ended."""

import os
import socket
import sys
from pathlib import Path

import pytest

from modelway.errors import NotReadyError, PortInUseError
from modelway.home import Home
from stacks import processes
from stacks.processes import LOOPBACK, Service


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def start_sleeper(home: Home, seconds: float = 60) -> Service:
    command = [sys.executable, "-S", "-c", f"import time; print('hello', flush=True); time.sleep({seconds})"]
    return processes.start(home, "sleeper", command, port=1, environment={})


def test_what_was_started_is_found_again_and_can_be_stopped(home: Home):
    service = start_sleeper(home)
    try:
        assert processes.running(home, "sleeper") == service
    finally:
        assert processes.stop(home, "sleeper") == ("sleeper",)

    assert processes.running(home, "sleeper") is None
    assert processes.stop(home, "sleeper") == ()


def test_another_process_with_the_recorded_id_is_not_ours(home: Home):
    home.run.mkdir(parents=True)
    record = Service(name="sleeper", pid=os.getpid(), created_at_s=12.0, url="http://x", port=1)
    (home.run / "sleeper.json").write_text(record.model_dump_json())

    assert processes.recorded(home, "sleeper") == record
    assert processes.running(home, "sleeper") is None
    assert processes.stop(home, "sleeper") == ()


def test_a_half_written_record_counts_as_none(home: Home):
    home.run.mkdir(parents=True)
    (home.run / "sleeper.json").write_text('{"name": "slee')

    assert processes.running(home, "sleeper") is None


def test_a_program_that_ends_at_once_is_reported_with_its_log(home: Home):
    service = processes.start(
        home, "broken", [sys.executable, "-S", "-c", "raise SystemExit(3)"], port=1, environment={}
    )

    with pytest.raises(NotReadyError, match="ended while it started") as caught:
        processes.wait_until_ready(home, service, path="/", limit_s=20)
    assert "broken.log" in caught.value.remedy


def test_a_program_that_never_answers_is_given_up(home: Home):
    service = start_sleeper(home)
    try:
        with pytest.raises(NotReadyError, match="did not answer in time"):
            processes.wait_until_ready(home, service, path="/", limit_s=0.2)
    finally:
        processes.stop(home, "sleeper")


def test_a_taken_port_is_refused(home: Home):
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        with pytest.raises(PortInUseError, match=str(taken.getsockname()[1])):
            processes.choose_port(home, "prefect", taken.getsockname()[1])


def test_a_service_gets_its_last_port_back_if_it_is_free(home: Home):
    port = processes.port_from_system()
    home.run.mkdir(parents=True)
    record = Service(name="prefect", pid=1, created_at_s=0, url="http://x", port=port)
    (home.run / "prefect.json").write_text(record.model_dump_json())

    assert processes.choose_port(home, "prefect") == port
    with socket.socket() as taken:
        taken.bind((LOOPBACK, port))
        taken.listen()
        assert processes.choose_port(home, "prefect") != port
