"""What a user can get wrong: a clear error in three parts, an exit code, and nothing half-written."""

import csv
import io
import shlex
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest

from modelway.usecase import load_use_case

USAGE, INFRASTRUCTURE = 2, 3
ONE_LOAN_IN = 4


def assert_clear(done, code: int, message: str) -> None:
    first, *rest = done.complaint
    assert done.code == code
    assert message in first
    assert [line.partition(":")[0] for line in rest] == ["expected", "to do"]


@pytest.fixture(scope="module")
def loans_without_a_column(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real loans, every fourth of the sample, without any value of `LowDoc`."""
    text = _loans()
    reader = csv.DictReader(io.StringIO(text))
    path = tmp_path_factory.mktemp("loans") / "loans.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, reader.fieldnames)
        writer.writeheader()
        writer.writerows({**row, "LowDoc": ""} for n, row in enumerate(reader) if n % ONE_LOAN_IN == 0)
    return path


def _loans() -> str:
    packed = Path(load_use_case("credit").resolve("sample")).read_bytes()
    with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
        return stream.read().decode()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--source", "none.csv", "--as-of", "2020-06-01"], "none.csv", id="missing-file"),
        pytest.param(["--as-of", "2019-01-01"], "2019-01-01", id="empty-window"),
    ],
)
def test_a_training_that_cannot_begin_leaves_no_version(modelway, kept, arguments, message):
    before = kept()

    done = modelway("train", "iris", "--trials", "1", *arguments)

    assert_clear(done, USAGE, message)
    after = kept()
    assert (after.bundles, after.versions) == (before.bundles, before.versions)


def test_an_unknown_use_case_names_those_there_are(modelway, kept):
    before = kept()

    done = modelway("train", "irises", "--as-of", "2020-06-01")

    assert_clear(done, USAGE, "no use case named 'irises'")
    assert "credit, fraud, iris" in done.complaint[1]
    assert kept() == before


def test_a_missing_file_is_said_without_a_stack(modelway_alone):
    done = modelway_alone("train", "iris", "--source", "none.csv", "--as-of", "2020-06-01")

    assert_clear(done, USAGE, "none.csv")
    assert "Traceback" not in done.err


def test_the_wrong_schema_names_the_columns_and_commits_nothing(modelway, kept, tmp_path: Path):
    (tmp_path / "a.csv").write_text("LoanNr_ChkDgt,Term\n1,84\n")
    before = kept()

    done = modelway("train", "credit", "--as-of", "2005-01-01", "--source", str(tmp_path / "a.csv"))

    assert_clear(done, USAGE, "lacks the columns")
    assert kept() == before


def test_a_column_without_any_value_is_named(modelway, kept, loans_without_a_column: Path):
    before = kept()

    done = modelway("train", "credit", "--as-of", "2005-01-01", "--source", str(loans_without_a_column))

    assert_clear(done, USAGE, "low_doc")
    after = kept()
    assert (after.bundles, after.versions) == (before.bundles, before.versions)
    assert len(after.snapshots - before.snapshots) == 1, "the loans themselves are sound, and are kept whole"


@pytest.mark.parametrize("command", ["use", "apply"])
def test_an_unknown_stack_names_those_there_are(modelway, command):
    done = modelway("stack", command, "lokal")

    assert done.code == USAGE
    assert "lokal" in done.complaint[0]
    assert "local-dev" in done.complaint[1]


def test_a_misspelt_key_of_an_slo_file_is_named(modelway, tmp_path: Path):
    slo, rows = tmp_path / "slo.yaml", tmp_path / "rows.parquet"
    slo.write_text("latency_limit_msec: 50\nrate_rps: 100\n")

    done = modelway(
        "loadtest", "run", "iris", "--url", "http://127.0.0.1:9", "--rows", str(rows), "--slo", str(slo)
    )

    assert done.code == USAGE
    assert "latency_limit_msec" in "\n".join(done.complaint)
    assert "Traceback" not in done.err


def test_pages_on_a_busy_port_are_refused_and_none_is_started(
    orchestration, modelway_alone, busy_port: str, tmp_path
):
    """In a home without a server: one that runs already keeps its port."""
    from stacks.processes import running  # noqa: PLC0415 - the home must be active

    done = modelway_alone("ui", "--prefect-port", busy_port, home=tmp_path / "home")

    assert_clear(done, INFRASTRUCTURE, busy_port)
    assert running(type(orchestration)(tmp_path / "home"), "prefect") is None


def _tmpfs_is_allowed() -> bool:
    if shutil.which("unshare") is None:
        return False
    asked = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _tmpfs_is_allowed(), reason="this machine lets nobody mount a small disk of his own")
@pytest.mark.parametrize(
    ("use_case", "as_of", "size"),
    [
        pytest.param("credit", "2004-12-01", "1m", id="the-snapshot-does-not-fit"),
        pytest.param("iris", "2020-05-20", "200k", id="the-model-does-not-fit"),
    ],
)
def test_a_full_disk_is_a_storage_error_and_nothing_is_half_written(  # noqa: PLR0913, PLR0917 - fixtures
    orchestration, modelway_alone, kept, use_case, as_of, size
):
    """A real small file system over the artifact store, seen by the command alone.

    No other test trains as of these days: ZenML would take what the small disk held from its cache.
    """
    artifacts = orchestration.stack("local") / "artifacts"
    artifacts.mkdir(parents=True, exist_ok=True)
    here = shlex.quote(str(artifacts))
    looked = f"find {here} -path '*/snapshots/manifests/*' -o -name MANIFEST.json"
    script = f'mount -t tmpfs -o size={size} none {here} && "$@"; code=$?; {looked}; exit $code'
    before = kept()

    done = modelway_alone(
        "train",
        use_case,
        "--as-of",
        as_of,
        "--trials",
        "1",
        under=("unshare", "-rm", "sh", "-c", script, "sh"),
    )

    assert_clear(done, INFRASTRUCTURE, "No space left on device")
    assert "MANIFEST.json" not in done.out, "no bundle"
    assert ("/snapshots/manifests/" in done.out) == (use_case == "iris"), "the snapshot is whole or not there"
    assert kept() == before
