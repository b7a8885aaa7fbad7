"""The environment that makes ZenML and Prefect live in our home and nowhere else.

Both read environment variables while they are imported, so this runs first: `flows/__init__.py` and
`steps/__init__.py` call it, because a Prefect worker imports `flows.training` with no program of ours
before it. It sets variables and nothing else: no file is made, no library is imported.
"""

import os
from pathlib import Path

from modelway.home import Home
from stacks.prefect_server import api_url, running_server

FOLLOWS_HOME = frozenset({"MODELWAY_HOME", "ZENML_CONFIG_PATH", "PREFECT_HOME"})
"""Variables that say where state lives: a value left over from another home would mix two stores."""

SOURCE_ROOT = Path(__file__).resolve().parents[1]
"""Folder that holds `flows/` and `steps/`: the checkout, or site-packages for an installed wheel."""


def activate_home() -> Home:
    """Point this process, and those it starts, to the current home. Idempotent, cheap.

    What says where state lives is always set; everything else only where the user has not set it.
    """
    home = Home.current()
    for name, value in environment(home).items():
        if name in FOLLOWS_HOME:
            os.environ[name] = value
        else:
            os.environ.setdefault(name, value)
    # ZenML asks uv, where there is one, for the packages of each run. Ours alone: not among the exports.
    os.environ.setdefault("UV_CACHE_DIR", str(home.root / "cache" / "uv"))
    return home


def environment(home: Home) -> dict[str, str]:
    """Every variable that the tools need to use `home`, the running Prefect server included."""
    # Without a source root ZenML takes the folder of `__main__`: in a worker that is site-packages/prefect.
    values = {**home.exports(), "ZENML_CUSTOM_SOURCE_ROOT": str(SOURCE_ROOT)}
    if server := running_server(home):
        values["PREFECT_API_URL"] = api_url(server)
    return values
