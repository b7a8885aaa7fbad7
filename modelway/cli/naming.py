"""How the commands on models name a version, a person and a reason."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from modelway.registry.registry import Registry

MODEL = typer.Argument(help="NAME, NAME@3, NAME@1.2.0, NAME@champion or NAME@challenger.")
NAME = typer.Argument(help="Name of the model, e.g. credit.")
WHY = typer.Option(..., "--why", help="The reason; it goes into the audit log.")
WHO = typer.Option("", "--who", help="Who decides; default: the user of this machine.")
JSON = typer.Option(False, "--json", help="Print JSON.")


def parsed(model: str) -> tuple[str, str | None]:
    """`credit@3` as ("credit", "3"); without a version the second is None."""
    name, _, reference = model.partition("@")
    return name, reference or None


def registered() -> "Registry":
    """The active stack's registry."""
    from stacks.active import registry  # noqa: PLC0415 - ZenML, seconds that --help need not pay

    return registry()
