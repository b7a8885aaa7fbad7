"""`modelway doctor`: what this machine has, what it lacks, how to get it."""

import typer

app = typer.Typer(add_completion=False, help="Say what this machine lacks and how to get it.")


@app.callback(invoke_without_command=True)
def doctor(json_: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """Check this machine. Exit code 3 where something required is missing."""
    from modelway.cli.stack import report  # noqa: PLC0415 - --help does without
    from stacks.checkup import check_machine  # noqa: PLC0415 - as above
    from stacks.environment import activate_home  # noqa: PLC0415 - as above

    report(check_machine(activate_home()), as_json=json_, title="This machine")
