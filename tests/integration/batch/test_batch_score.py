"""A folder in, a folder out, every row once: also when files, models or disks misbehave."""

import fcntl
import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from modelway.batch.score import score_folder
from modelway.errors import (
    BundleRejectedError,
    ConfigError,
    ContractError,
    SourceError,
    StorageError,
)


def parquet_names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet"))


def answers(target):
    """id -> (probability, decision) of every row below the folder; an id twice is an error."""
    table = pa.concat_tables(pq.read_table(target / name) for name in parquet_names(target))
    found = dict(
        zip(
            table["loan_id"].to_pylist(),
            zip(table["probability"].to_pylist(), table["decision"].to_pylist(), strict=True),
            strict=True,
        )
    )
    assert len(found) == table.num_rows
    return found


def test_answers_by_hand(make_bundle, make_folder, tmp_path):
    # L0000001: amount 1, state NY = 1, jobs 1 -> sigmoid(.001 + .5 - .25)
    # L0000010: jobs 3, the rest missing -> sigmoid(-.75)
    report = score_folder(make_bundle(), make_folder(2, 20), tmp_path / "out")

    found = answers(tmp_path / "out")
    assert len(found) == 40
    assert found["L0000001"] == (pytest.approx(1 / (1 + np.exp(-0.251)), abs=1e-6), 1)
    assert found["L0000010"] == (pytest.approx(1 / (1 + np.exp(0.75)), abs=1e-6), 0)
    assert (report.files, report.skipped_files, report.rows, report.scored_rows) == (2, 0, 40, 40)
    assert report.rows_per_s == pytest.approx(40 / report.seconds)


def test_rows_keep_their_order_and_types(make_bundle, make_folder, tmp_path):
    source = make_folder(1, 1_000)

    score_folder(make_bundle(), source, tmp_path / "out", batch_rows=64)

    (name,) = parquet_names(tmp_path / "out")
    output = pq.read_table(tmp_path / "out" / name)
    assert output["loan_id"].equals(pq.read_table(source / "part-0.parquet")["loan_id"])
    assert output.schema.types == [pa.string(), pa.float32(), pa.int8()]


def test_the_size_of_batches_changes_no_answer(make_bundle, make_folder, tmp_path):
    source, bundle = make_folder(2, 1_000), make_bundle()

    score_folder(bundle, source, tmp_path / "one", batch_rows=17)
    score_folder(bundle, source, tmp_path / "two")

    one, two = answers(tmp_path / "one"), answers(tmp_path / "two")
    assert one.keys() == two.keys()
    assert max(abs(one[key][0] - two[key][0]) for key in one) < 1e-6


def test_the_manifest_lists_inputs_outputs_and_model(make_bundle, make_folder, tmp_path):
    bundle = make_bundle()

    report = score_folder(bundle, make_folder(3, 10), tmp_path / "out")

    manifest = json.loads(report.manifest.read_text())
    assert manifest["model"]["digest"] == bundle.digest
    assert [entry["input"] for entry in manifest["files"]] == [f"part-{i}.parquet" for i in range(3)]
    assert sorted(entry["output"] for entry in manifest["files"]) == parquet_names(tmp_path / "out")
    assert sum(entry["rows"] for entry in manifest["files"]) == 30


def test_a_second_run_scores_nothing_and_changes_nothing(make_bundle, make_folder, tmp_path):
    source, bundle = make_folder(3, 100), make_bundle()
    first = score_folder(bundle, source, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")}
    listed = first.manifest.read_bytes()

    second = score_folder(bundle, source, tmp_path / "out")

    assert (second.skipped_files, second.rows, second.scored_rows, second.rows_per_s) == (3, 300, 0, 0)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")} == before
    assert second.manifest.read_bytes() == listed


def test_a_new_file_alone_is_scored(make_bundle, make_folder, tmp_path):
    source, bundle = make_folder(2, 100), make_bundle()
    score_folder(bundle, source, tmp_path / "out")
    later = pq.read_table(source / "part-0.parquet")
    later = later.set_column(0, "loan_id", pc.binary_join_element_wise("M", later["loan_id"], ""))
    pq.write_table(later, source / "part-9.parquet")

    report = score_folder(bundle, source, tmp_path / "out")

    assert (report.files, report.skipped_files, report.scored_rows) == (3, 2, 100)
    assert len(answers(tmp_path / "out")) == 300


def test_two_files_of_the_same_content_are_two_inputs(make_bundle, make_folder, tmp_path):
    source = make_folder(1, 10)
    (source / "copy.parquet").write_bytes((source / "part-0.parquet").read_bytes())

    report = score_folder(make_bundle(), source, tmp_path / "out")

    assert report.rows == 20
    assert len(parquet_names(tmp_path / "out")) == 2


def test_folders_below_the_source_are_mirrored_and_hidden_ones_passed_over(
    make_bundle, make_folder, tmp_path
):
    source = make_folder(1, 10)
    for name in ("day=1/part-0", "_delta/x", ".hidden/x"):
        (source / name).parent.mkdir()
        (source / f"{name}.parquet").write_bytes((source / "part-0.parquet").read_bytes())

    score_folder(make_bundle(), source, tmp_path / "out")

    names = parquet_names(tmp_path / "out")
    assert len(names) == 2
    assert names[0].startswith("day=1/part-0-")


def test_another_model_gets_outputs_and_a_manifest_of_its_own(make_bundle, make_folder, tmp_path):
    source = make_folder(1, 10)

    one = score_folder(make_bundle(), source, tmp_path / "out")
    two = score_folder(make_bundle(threshold=0.6), source, tmp_path / "out")

    assert one.manifest != two.manifest
    assert two.scored_rows == 10
    assert len(parquet_names(tmp_path / "out")) == 2


def test_an_output_that_was_damaged_is_scored_again(make_bundle, make_folder, tmp_path):
    source, bundle = make_folder(2, 100), make_bundle()
    score_folder(bundle, source, tmp_path / "out")
    first, second = (tmp_path / "out" / name for name in parquet_names(tmp_path / "out"))
    good, also_good = first.read_bytes(), second.read_bytes()
    first.write_bytes(good[: len(good) // 2])
    second.write_bytes(also_good[:40] + bytes([also_good[40] ^ 1]) + also_good[41:])

    report = score_folder(bundle, source, tmp_path / "out")

    assert report.skipped_files == 0
    assert (first.read_bytes(), second.read_bytes()) == (good, also_good)


def test_where_the_model_gives_no_number_there_is_no_decision(make_bundle, make_graph, make_folder, tmp_path):
    not_a_number = np.array([[np.nan], [0], [0]], dtype=np.float32)
    score_folder(make_bundle(make_graph(not_a_number)), make_folder(1, 10), tmp_path / "out")

    assert {decision for _, decision in answers(tmp_path / "out").values()} == {None}


def test_a_file_without_rows_gives_an_output_without_rows(make_bundle, make_folder, tmp_path):
    source = make_folder(1, 10)
    pq.write_table(pq.read_table(source / "part-0.parquet").slice(0, 0), source / "part-1.parquet")

    report = score_folder(make_bundle(), source, tmp_path / "out")

    assert (report.files, report.rows) == (2, 10)


def test_a_missing_folder_is_named(make_bundle, tmp_path):
    with pytest.raises(SourceError, match=r"no folder .*nowhere"):
        score_folder(make_bundle(), tmp_path / "nowhere", tmp_path / "out")


def test_an_empty_folder_is_a_source_error(make_bundle, tmp_path):
    (tmp_path / "source").mkdir()

    with pytest.raises(SourceError, match="no Parquet file"):
        score_folder(make_bundle(), tmp_path / "source", tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_one_wrong_column_in_the_last_file_stops_before_anything_is_written(
    make_bundle, make_folder, tmp_path
):
    source = make_folder(3, 10)
    table = pq.read_table(source / "part-2.parquet")
    pq.write_table(
        table.set_column(2, "amount", table["amount"].cast(pa.string())), source / "part-2.parquet"
    )

    with pytest.raises(ContractError, match=r"part-2\.parquet: column amount is string"):
        score_folder(make_bundle(), source, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_parquet_is_named(make_bundle, make_folder, tmp_path):
    source = make_folder(1, 10)
    (source / "notes.parquet").write_text("not at all")

    with pytest.raises(SourceError, match=r"notes\.parquet cannot be read as Parquet"):
        score_folder(make_bundle(), source, tmp_path / "out")


def test_a_file_that_breaks_off_inside_leaves_nothing_half_written(make_bundle, make_folder, tmp_path):
    source = make_folder(2, 5_000)
    broken = source / "part-1.parquet"
    content = bytearray(broken.read_bytes())
    content[200:4000] = bytes(3800)
    broken.write_bytes(content)

    with pytest.raises(SourceError, match=r"part-1\.parquet cannot be read to its end"):
        score_folder(make_bundle(), source, tmp_path / "out", batch_rows=100)

    assert [name.split("-")[1] for name in parquet_names(tmp_path / "out")] == ["0"]
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert not list((tmp_path / "out").glob("manifest*"))


def test_a_file_changed_while_it_is_scored_is_not_kept(make_bundle, make_folder, tmp_path):
    source = make_folder(1, 1_000)

    with pytest.raises(SourceError, match="was changed while it was being scored"):
        score_folder(
            make_bundle(), source, tmp_path / "out", on_rows=lambda _: os.utime(source / "part-0.parquet")
        )

    assert parquet_names(tmp_path / "out") == []


@pytest.mark.parametrize("place", ["source", "source/out", "."])
def test_outputs_among_the_inputs_are_refused(make_bundle, make_folder, tmp_path, place):
    source = make_folder(1, 10)

    with pytest.raises(ConfigError, match="one folder, or one lies in the other"):
        score_folder(make_bundle(), source, tmp_path / place)


def test_a_second_run_at_the_same_time_is_refused(make_bundle, make_folder, tmp_path):
    (tmp_path / "out").mkdir()
    with (tmp_path / "out" / ".modelway-batch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        with pytest.raises(StorageError, match="another run is scoring"):
            score_folder(make_bundle(), make_folder(1, 10), tmp_path / "out")


def test_a_graph_of_another_width_is_rejected(make_bundle, make_graph, make_folder, tmp_path):
    narrow = make_bundle(make_graph(np.ones((2, 1), dtype=np.float32)))

    with pytest.raises(BundleRejectedError, match="features"):
        score_folder(narrow, make_folder(1, 10), tmp_path / "out")


def test_bytes_that_are_no_graph_are_rejected(make_bundle, make_folder, tmp_path):
    with pytest.raises(BundleRejectedError, match="does not load"):
        score_folder(make_bundle(b"no graph"), make_folder(1, 10), tmp_path / "out")


def test_a_graph_altered_after_the_bundle_was_opened_is_rejected(make_bundle, make_folder, tmp_path):
    bundle = make_bundle()
    bundle.model.chmod(0o644)
    bundle.model.write_bytes(b"x" + bundle.model.read_bytes()[1:])

    with pytest.raises(BundleRejectedError):
        score_folder(bundle, make_folder(1, 10), tmp_path / "out")


REFUSED = """
import resource, signal, sys
from pathlib import Path
from modelway.batch.score import score_folder
from modelway.bundle.bundle import Bundle
from modelway.errors import StorageError

bundle = Bundle.open(sys.argv[1], verify_key=Path(sys.argv[2]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
try:
    score_folder(bundle, Path(sys.argv[3]), Path(sys.argv[4]))
except StorageError as error:
    print("refused:", error)
"""


def test_a_disk_that_takes_no_more_is_a_storage_error_and_leaves_no_part(
    make_bundle, make_folder, verify_key, tmp_path
):
    """The kernel refuses the child files over 2,000 bytes: the same path as no space left."""
    source, target = make_folder(1, 20_000), tmp_path / "out"

    command = [sys.executable, "-c", REFUSED, make_bundle().path, verify_key, source, target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    assert done.stdout.startswith("refused:"), done.stderr
    assert "free disk space" in done.stdout
    assert parquet_names(target) == []
    assert not list(target.rglob("*.tmp"))
