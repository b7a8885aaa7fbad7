"""Commands as a user types them, in the test run's home, and what that home holds before and after."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_commands import LIMIT_S, MODELWAY, Done, Kept

from modelway.home import Home


@pytest.fixture
def kept(orchestration: Home) -> Callable[[], Kept]:
    """What is kept now. Each thing is opened and verified on the way: none may be half-written."""
    from modelway.bundle.bundle import Bundle  # noqa: PLC0415 - the home must be active
    from modelway.bundle.signing import VERIFY_KEY_FILE  # noqa: PLC0415 - as above
    from stacks.active import bundles_folder, registry, snapshot_store  # noqa: PLC0415 - as above

    def look() -> Kept:
        snapshots, versions, key = snapshot_store(), registry().list(), orchestration.keys / VERIFY_KEY_FILE
        bundles = bundles_folder()
        found = [Bundle.open(path, verify_key=key) for path in bundles.glob("[0-9a-f]*")]
        assert all(snapshots.verify(one.id).passed for one in snapshots.list())
        assert all(registry().verify(one.name, one.version).passed for one in versions)
        return Kept(
            frozenset(one.id for one in snapshots.list()),
            frozenset(bundle.digest for bundle in found),
            frozenset(one.reference for one in versions),
        )

    return look


@pytest.fixture
def modelway(orchestration: Home, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run a command in this process: its libraries, seconds of imports, are there already."""
    from modelway.cli.main import main  # noqa: PLC0415 - the home must be active

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        try:
            main(list(arguments))
        except SystemExit as ended:
            return Done(int(ended.code or 0), *capsys.readouterr())
        raise AssertionError("a command ends by an exit")

    return run


@pytest.fixture
def modelway_alone(orchestration: Home) -> Callable[..., Done]:
    """Run a command in a process of its own, in this home or another one."""

    def run(*arguments: str, under: tuple[str, ...] = (), home: Path = orchestration.root) -> Done:
        done = subprocess.run(
            [*under, MODELWAY, *arguments],
            env={**os.environ, "MODELWAY_HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def busy_port() -> Iterator[str]:
    """A port on which somebody else listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield str(listener.getsockname()[1])
