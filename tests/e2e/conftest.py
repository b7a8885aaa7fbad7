"""One whole demo for every test that looks at what it left."""

from collections.abc import Iterator

import pytest
from demo_home import DemoHome

DEMO_LIMIT_S = 560.0


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoHome]:
    """`modelway demo --small --keep`, finished, its gateway and pages still up."""
    home = DemoHome(tmp_path_factory.mktemp("e2e") / "home")
    process = home.start("--small", "--keep")
    try:
        assert process.wait(DEMO_LIMIT_S) == 0, home.said
        yield home
    finally:
        home.kill_everything()
