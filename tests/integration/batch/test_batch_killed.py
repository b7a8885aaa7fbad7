"""A batch that is killed with SIGKILL, again and again, and in the end every row is there once."""

import json
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq

from modelway.batch.score import score_folder

FILES, ROWS_PER_FILE, BATCH_ROWS = 5, 20_000, 1_000

CHILD = """
import sys, time
from pathlib import Path
from modelway.batch.score import score_folder
from modelway.bundle.bundle import Bundle

bundle = Bundle.open(sys.argv[1], verify_key=Path(sys.argv[2]))
target, finished, begun = Path(sys.argv[4]), int(sys.argv[6]), []


def stop_in_the_middle(rows):
    # of the file after so many finished ones: there the parent strikes, however late it comes
    if len(list(target.glob("*.parquet"))) >= finished:
        begun.append(rows)
    if len(begun) == 3:
        time.sleep(600)


score_folder(bundle, Path(sys.argv[3]), target, batch_rows=int(sys.argv[5]), on_rows=stop_in_the_middle)
"""


def killed_run(command, target, finished):
    """Start a run and kill it once it has finished that many files and begun the next."""
    child = subprocess.Popen([*command, str(finished)], stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 240
        while len(outputs(target)) < finished or not list(target.glob(".*.tmp")):
            assert child.poll() is None, child.stderr.read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        code = child.wait(timeout=60)
        child.stderr.close()
    return code


def outputs(target):
    return {path.name: path for path in target.glob("*.parquet")}


def test_every_row_is_there_once_and_bit_for_bit_after_two_kills(
    make_bundle, make_folder, verify_key, tmp_path
):
    bundle, source, target = make_bundle(), make_folder(FILES, ROWS_PER_FILE), tmp_path / "out"
    command = [sys.executable, "-c", CHILD, bundle.path, verify_key, source, target, str(BATCH_ROWS)]

    codes = [killed_run(command, target, finished) for finished in (1, 3)]
    kept = {name: path.stat().st_mtime_ns for name, path in outputs(target).items()}
    assert codes == [-signal.SIGKILL, -signal.SIGKILL]
    assert len(kept) == 3
    assert list(target.glob(".*.tmp"))
    assert not list(target.glob("manifest*"))

    report = score_folder(bundle, source, target, batch_rows=BATCH_ROWS)

    whole = score_folder(bundle, source, tmp_path / "uninterrupted", batch_rows=BATCH_ROWS)
    assert report.skipped_files == len(kept)
    assert {name: outputs(target)[name].stat().st_mtime_ns for name in kept} == kept
    assert not list(target.glob(".*.tmp"))
    assert {name: path.read_bytes() for name, path in outputs(target).items()} == {
        name: path.read_bytes() for name, path in outputs(tmp_path / "uninterrupted").items()
    }
    assert report.manifest.read_bytes() == whole.manifest.read_bytes()
    listed = [entry["output"] for entry in json.loads(report.manifest.read_text())["files"]]
    ids = pa.concat_tables(pq.read_table(target / name) for name in listed)["loan_id"].to_pylist()
    assert sorted(ids) == [f"L{i:07d}" for i in range(FILES * ROWS_PER_FILE)]
