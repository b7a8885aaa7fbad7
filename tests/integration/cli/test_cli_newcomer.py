"""A newcomer's walk: the commands of docs/how-to/your-own-csv.md as they stand there, on such a table."""

import json
import os
import random
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import httpx
import pytest

from serving.gateway.ports import free_port

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "your-own-csv.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
HEADER = BLOCKS[0].splitlines()[0]
COMMANDS = [block for block in BLOCKS if block.startswith(("modelway ", "python -m pip ", "curl "))]
LIMIT_S = 900


def write_table(path: Path) -> None:
    """As many rows as the page says; who calls often and pays monthly leaves."""
    chance, lines = random.Random(11), [HEADER]  # noqa: S311 - no secret
    for number in range(2_600):
        day = date(2023, 9, 1) + timedelta(days=chance.randrange(600))
        calls, auto = chance.randrange(7), chance.random() < 0.5
        leaves = chance.random() < 0.08 + 0.09 * calls - 0.05 * auto
        cells = [f"C{number:05d}", day, chance.choice(["basic", "plus", "pro"]), chance.choice(["DE", "FR"])]
        cells += [f"{chance.uniform(5, 40):.2f}", calls, chance.randrange(1, 60), "yes" if auto else "no"]
        cells += ["yes" if leaves else "no", day + timedelta(days=60)]
        lines.append(",".join(map(str, cells)))
    path.write_text("\n".join(lines) + "\n")


class Shell:
    """A newcomer's: an environment of its own that can be installed into, and no network."""

    def __init__(self, folder: Path) -> None:
        self._folder, venv = folder, folder / ".venv"
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=LIMIT_S
        )
        (site,) = venv.glob("lib/python*/site-packages")
        here = [path for path in sys.path if path and Path(path).is_dir()]
        (site / "outer.pth").write_text("\n".join(here))
        command = venv / "bin" / "modelway"
        command.write_text(f"#!{venv / 'bin' / 'python'}\nfrom modelway.cli.main import main\nmain()\n")
        command.chmod(0o755)
        self.port = free_port()
        self._environment = {
            **os.environ,
            "PATH": f"{venv / 'bin'}:{os.environ['PATH']}",
            "PIP_NO_INDEX": "1",
        } | {"MODELWAY_HOME": str(folder / ".modelway")}

    def run(self, block: str) -> str:
        """What a block of commands prints; the page's port is ours."""
        done = subprocess.run(
            ["bash", "-e", "-c", block.replace("8080", str(self.port))],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def ask(self, block: str) -> dict:
        """What `curl` would print; a machine may have none."""
        _, _, url, _, body = shlex.split(block.replace("8080", str(self.port)))
        answer = httpx.post(f"http://{url}", content=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    found = Shell(tmp_path)
    yield found
    found.run(COMMANDS[-1])


@pytest.mark.timeout(900)  # a minute alone; eight commands beside other tests take far longer
def test_the_page_leads_from_a_table_to_an_answer(shell: Shell, tmp_path: Path):
    write_table(tmp_path / "churn.csv")
    asked = [block for block in COMMANDS if block.startswith("curl ")]
    said = {}
    for block in COMMANDS[: COMMANDS.index(asked[0])]:
        said[block.split()[1]] = shell.run(block)

    assert "2,600" in said["usecase"] or "churn" in said["usecase"]
    assert re.search(r"churn@1 .*Staging", said["train"])
    assert f"127.0.0.1:{shell.port}" in said["serve"]
    (champion,) = json.loads(shell.run("modelway models list churn --json"))
    assert (champion["stage"], champion["aliases"]) == ("Production", "champion")
    first, second = map(shell.ask, asked)
    assert 0 < first["predictions"][0] < 1
    outputs = {each["name"]: each["data"][0] for each in second["outputs"]}
    assert 0 < outputs["probability"] < 1
    assert outputs["decision"] in {0, 1}
    for block in COMMANDS[COMMANDS.index(asked[-1]) + 1 :]:
        shell.run(block)
