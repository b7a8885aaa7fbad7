"""ZenML's configuration file under many writers."""

import subprocess
import sys
from pathlib import Path

import yaml
from zenml.client import Client
from zenml.config.global_config import GlobalConfiguration

from modelway.home import Home
from stacks import apply, zenml_client

READ_OFTEN = """
import sys, yaml
for _ in range(300):
    if not yaml.safe_load(open(sys.argv[1]).read()):
        sys.exit("half-written")
"""


def config_file(home: Home) -> Path:
    return home.zenml / "config.yaml"


def stored(home: Home) -> dict:
    return yaml.safe_load(config_file(home).read_text())


def write_as_another_process(home: Home, **changes: str) -> None:
    config_file(home).write_text(yaml.safe_dump({**stored(home), **changes}))


def test_a_reader_never_sees_a_half_written_file(orchestration: Home):
    reader = subprocess.Popen([sys.executable, "-c", READ_OFTEN, str(config_file(orchestration))])
    configuration = GlobalConfiguration()
    writes = 0
    while reader.poll() is None:
        configuration.user_email = f"{writes}@example.org"
        writes += 1
    configuration.user_email = None

    assert reader.returncode == 0
    assert writes > 10


def test_a_process_that_writes_something_else_does_not_undo_a_switch(orchestration: Home):
    zenml_client.client()
    other = str(Client().get_stack("local-dev").id)
    try:
        write_as_another_process(orchestration, active_stack_id=other)

        GlobalConfiguration().user_email = "somebody@example.org"

        assert stored(orchestration)["active_stack_id"] == other
        assert stored(orchestration)["user_email"] == "somebody@example.org"
    finally:
        GlobalConfiguration().user_email = None
        apply.activate("local")


def test_the_next_flow_of_a_running_process_follows_a_switch(orchestration: Home):
    assert apply.ensure_active_stack(orchestration) == "local"
    try:
        write_as_another_process(orchestration, active_stack_id=str(Client().get_stack("local-dev").id))

        assert apply.ensure_active_stack(orchestration) == "local-dev"
    finally:
        apply.activate("local")
    assert apply.ensure_active_stack(orchestration) == "local"


def test_nothing_is_written_when_nothing_changed(orchestration: Home):
    zenml_client.client()
    before = config_file(orchestration).stat().st_mtime_ns

    GlobalConfiguration().version = GlobalConfiguration().version

    assert config_file(orchestration).stat().st_mtime_ns == before
