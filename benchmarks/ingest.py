"""How long a table takes from text to a validated snapshot, beside those who write it down unlooked at.

    python benchmarks/ingest.py [--source full] [--limit-s 25] [--limit-mb 2048]

`full` are all 899,164 loans (`make data`); `sample` is the eighth in `data/`. Each contender runs in a
process of its own, which is measured whole, imports too:

- `ingest`: what `modelway data ingest` does: clean, try every rule of the contract, hash, write chunks;
- `polars`: the same columns of the same text to one Parquet file;
- `delta-rs`: the same to a Delta table.

Exit code 1 when ours takes longer, or more memory, than the limits.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

READ = "from usecases.credit import use_case as u; import polars as pl; t = pl.concat(u.load(sys.argv[1])); "
PROGRAMS = {
    "ingest": "from usecases.credit import use_case as u; from modelway.data.ingest import ingest; "
    "from modelway.data.snapshot import FolderSnapshotStore as S; "
    "s = ingest(u, sys.argv[1], S(sys.argv[2])); print(s.rows + s.quarantined)",
    "polars": READ + "t.write_parquet(sys.argv[2], compression='zstd'); print(t.height)",
    "delta-rs": READ
    + "import deltalake; deltalake.write_deltalake(sys.argv[2], t.to_arrow()); print(t.height)",
}


class Cost(NamedTuple):
    """What one process took."""

    rows: int
    wall_s: float
    cpu_s: float
    peak_mb: float


def _cost(program: str, source: str, target: Path) -> Cost:
    began = perf_counter()
    command = [sys.executable, "-c", f"import sys; {program}", source, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        said = process.stdout.read() if process.stdout else ""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"a contender failed on {source}; `make data` fetches the full source")
    return Cost(int(said), perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def _parsed(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="full")
    parser.add_argument("--limit-s", type=float, default=25.0)
    parser.add_argument("--limit-mb", type=float, default=2048.0)
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Measure all contenders and print the table."""
    asked = _parsed(words)
    print(f"load average {os.getloadavg()[0]:.1f}; limits {asked.limit_s:g} s, {asked.limit_mb:g} MB")
    with tempfile.TemporaryDirectory() as folder:
        found = {name: _cost(each, asked.source, Path(folder) / name) for name, each in PROGRAMS.items()}
    ours = found["ingest"]
    print(f"{'':9}{'rows':>9} {'wall s':>7} {'CPU s':>6} {'MB':>6} {'CPU, ours to theirs':>20}")
    for name, cost in found.items():
        print(
            f"{name:9}{cost.rows:9,} {cost.wall_s:7.1f} {cost.cpu_s:6.1f} {cost.peak_mb:6.0f} "
            f"{ours.cpu_s / cost.cpu_s:20.1f}"
        )
    return int(ours.wall_s > asked.limit_s or ours.peak_mb > asked.limit_mb)


if __name__ == "__main__":
    sys.exit(main())
