"""A tiny real HTTP server in a process of its own, on a port from the system."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

SERVER = Path(__file__).with_name("tiny_server.py")


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Start the server with the given behaviour; answer its address."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> str:
        process = subprocess.Popen(
            [sys.executable, str(SERVER), *arguments], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        return f"http://127.0.0.1:{int(process.stdout.readline())}"

    yield start
    for process in started:
        process.kill()
        process.wait(60)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.parquet"
    pl.DataFrame(
        {
            "loan_id": [str(k) for k in range(50)],
            "event_time": [pl.Series([0]).cast(pl.Datetime("us", "UTC")).item()] * 50,
            "amount": [float(k) for k in range(49)] + [float("nan")],
            "state": ["CA", None] * 25,
        }
    ).write_parquet(path)
    return path
