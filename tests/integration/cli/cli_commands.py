"""How a command ended, and what a home keeps."""

import sys
from dataclasses import dataclass
from pathlib import Path

MODELWAY = str(Path(sys.executable).parent / "modelway")
LIMIT_S = 240.0


@dataclass(frozen=True)
class Kept:
    """Everything that a training leaves for later, by name."""

    snapshots: frozenset[str]
    bundles: frozenset[str]
    versions: frozenset[str]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> list[str]:
        """The lines from `error:` to the end: what people read last."""
        lines = self.err.rstrip().splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith("error: ")]
        assert starts, self.err
        return lines[starts[-1] :]
