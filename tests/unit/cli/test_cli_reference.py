"""`docs/reference/cli.md` names every command with every option, and none that is gone."""

import re
from importlib import import_module
from pathlib import Path

from typer.main import get_command

from modelway.cli.main import STATIONS

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "cli.md").read_text()


def leaves(command, name):
    """Every command that does something: its full name and its own options."""
    if subcommands := getattr(command, "commands", None):
        for each, inner in subcommands.items():
            yield from leaves(inner, f"{name} {each}")
        return
    options = {max(p.opts, key=len) for p in command.params if p.param_type_name == "option"}
    yield name, options - {"--help"}


def there() -> dict[str, set[str]]:
    named = [name for name in STATIONS if name != "audit"]  # the same as below `models`, and so described
    stations = ((name, get_command(import_module(f"modelway.cli.{name}").app)) for name in named)
    return dict(leaf for name, station in stations for leaf in leaves(station, f"modelway {name}"))


def described() -> dict[str, set[str]]:
    found = {}
    for section in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        name = re.match(r"`(modelway(?: [a-z][a-z0-9-]*)+)", section)[1]
        found[name] = set(re.findall(r"^\| `(--[a-z-]+)", section, flags=re.MULTILINE))
    return found


def test_every_command_is_described_and_nothing_else_is():
    assert sorted(set(there()) ^ set(described())) == []


def test_every_option_is_described_and_nothing_else_is():
    page = described()

    assert {n: o ^ page.get(n, set()) for n, o in there().items() if o ^ page.get(n, set())} == {}
