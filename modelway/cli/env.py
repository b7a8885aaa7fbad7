"""`modelway env`: exports that make `zenml`, `prefect` and `mlflow` in a shell use this checkout's stores."""

import json
import shlex
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from modelway.home import Home

app = typer.Typer(
    add_completion=False, help="Print the exports that make other tools use this checkout's stores."
)


@app.callback(invoke_without_command=True)
def env(json_: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """Print the exports: `eval "$(modelway env)"`."""
    from stacks.environment import activate_home, environment  # noqa: PLC0415 - --help does without

    home = activate_home()
    values = {**environment(home), **_tracking(home)}
    if json_:
        print(json.dumps(values, indent=2))
    else:
        print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in values.items()))


def _tracking(home: "Home") -> dict[str, str]:
    """MLflow's address, once a stack was applied; asking earlier would make ZenML's database."""
    if not home.zenml.exists():
        return {}
    from stacks import active  # noqa: PLC0415 - ZenML, seconds

    return {"MLFLOW_TRACKING_URI": active.tracking_uri()}
