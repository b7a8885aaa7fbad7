"""`modelway stack`: apply stack files, see them, switch between them."""

from typing import TYPE_CHECKING

import typer

from modelway.cli.output import emit
from modelway.errors import InfrastructureError

if TYPE_CHECKING:
    from stacks.checkup import Finding

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Apply stacks and see what they need.")

JSON = typer.Option(False, "--json", help="Print JSON.")


@app.command()
def apply(
    names: list[str] = typer.Argument(None, help="Stacks to apply; default: all that are shipped."),
    json_: bool = JSON,
) -> None:
    """Make ZenML's store say what the stack files say. A second time there is nothing to do."""
    from stacks.environment import activate_home  # noqa: PLC0415 - --help does without

    home = activate_home()
    from stacks.apply import apply as apply_stack  # noqa: PLC0415 - ZenML, a second
    from stacks.spec import stack_names  # noqa: PLC0415 - as above

    changes = [change for name in names or stack_names() for change in apply_stack(name, home)]
    emit([change.model_dump() for change in changes], as_json=json_, title="Changes")


@app.command("list")
def list_(json_: bool = JSON) -> None:
    """List the stack files, which of them are applied, and the active one."""
    from stacks.environment import activate_home  # noqa: PLC0415 - --help does without

    home = activate_home()
    from stacks.apply import applied_stacks  # noqa: PLC0415 - ZenML, a second
    from stacks.spec import read_stack, stack_names  # noqa: PLC0415 - as above

    applied = applied_stacks()
    rows = [
        {
            "name": name,
            "applied": name in applied,
            "active": applied.get(name, False),
            "description": read_stack(name, home).description,
        }
        for name in stack_names()
    ]
    emit(rows, as_json=json_, title="Stacks")


@app.command()
def show(name: str, json_: bool = JSON) -> None:
    """Show a stack's components and settings, as its file says."""
    from modelway.home import Home  # noqa: PLC0415 - --help does without
    from stacks.spec import read_stack  # noqa: PLC0415 - as above

    components = read_stack(name, Home.current()).components.present()
    rows = [
        {
            "component": kind,
            "flavor": spec.flavor,
            "settings": ", ".join(f"{k}={v}" for k, v in spec.config.items()),
        }
        for kind, spec in components.items()
    ]
    emit(rows, as_json=json_, title=f"Stack {name}")


@app.command()
def use(name: str) -> None:
    """Switch to a stack; the same as `zenml stack set NAME`."""
    from stacks.apply import activate  # noqa: PLC0415 - ZenML, a second

    activate(name)
    typer.echo(f"active stack: {name}")


@app.command()
def doctor(name: str, json_: bool = JSON) -> None:
    """Say what a stack needs and whether it is here. Exit code 3 where something is missing."""
    from stacks.environment import activate_home  # noqa: PLC0415 - --help does without

    home = activate_home()
    from stacks.checkup import check_stack  # noqa: PLC0415 - as above

    report(check_stack(name, home), as_json=json_, title=f"Stack {name}")


def report(findings: list["Finding"], *, as_json: bool, title: str) -> None:
    """Print findings.

    Raises:
        InfrastructureError: Something required is missing.
    """
    emit([finding.row() for finding in findings], as_json=as_json, title=title)
    if missing := [finding.what for finding in findings if finding.required and not finding.ok]:
        raise InfrastructureError(
            f"missing: {', '.join(missing)}",
            expected="everything that is required",
            remedy="see the table's last column",
        )
