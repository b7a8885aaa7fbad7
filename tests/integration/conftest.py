"""One Prefect server and one ZenML store for every test that runs a flow: a fresh pair takes 20 seconds."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from modelway.home import Home

if TYPE_CHECKING:
    from tests.integration.bridge.prefect_pages import Pages


@pytest.fixture(scope="session")
def orchestration() -> Iterator[Home]:
    """The test run's home with both stacks applied, `local` active, and its Prefect server answering."""
    from stacks.environment import activate_home  # noqa: PLC0415 - tests that run no flow do without
    from stacks.prefect_server import ensure_server, start_server, stop_server  # noqa: PLC0415 - as above

    home = activate_home()
    start_server(home)
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415 - after the home is active

    from stacks.apply import apply  # noqa: PLC0415 - as above
    from stacks.flavors.console import flush_logs  # noqa: PLC0415 - as above

    try:
        for name in ("local", "local-dev"):
            apply(name, home)
        with temporary_settings({PREFECT_API_URL: ensure_server(home)}):
            yield home
            flush_logs()
    finally:
        stop_server(home)


@pytest.fixture(scope="session")
def pages(orchestration: Home) -> Iterator["Pages"]:
    """Prefect's side of every run."""
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - after the home is active

    from tests.integration.bridge.prefect_pages import Pages  # noqa: PLC0415 - as above

    with get_client(sync_client=True) as client:
        yield Pages(client)
