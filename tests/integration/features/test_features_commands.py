"""The commands on the vendored loans: from a snapshot to a training set, online values and a verdict."""

import json
from datetime import UTC, datetime

import polars as pl
import pytest

from modelway.cli.main import main
from modelway.data.ingest import ingest
from modelway.data.snapshot import FolderSnapshotStore
from modelway.features.store import FeatureStore
from modelway.features.training_set import build_training_set
from modelway.features.values import view_rows
from modelway.usecase import load_use_case

AS_OF = datetime(2005, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory):
    root = str(tmp_path_factory.mktemp("snapshots"))
    ingest(load_use_case("credit"), None, FolderSnapshotStore(root))
    return root


@pytest.fixture
def command(capsys, snapshots):
    def run(*words):
        """Exit code, stdout, stderr of `modelway features …` on the snapshots."""
        try:
            main(["features", words[0], "credit", *words[1:], "--store", snapshots])
        except SystemExit as end:
            code = end.code or 0
        else:
            code = 0
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def test_build_writes_the_training_set_and_shows_each_feature(command, snapshots, tmp_path):
    out = tmp_path / "deep" / "set.parquet"

    code, shown, _ = command("build", "--as-of", "2005-01-01", "--out", str(out), "--json")

    use_case, store = load_use_case("credit"), FolderSnapshotStore(snapshots)
    history = store.scan(store.latest("credit").id)
    assert code == 0
    assert [line["feature"] for line in json.loads(shown)] == list(use_case.features.names)
    assert pl.read_parquet(out).equals(build_training_set(use_case, history, as_of=AS_OF))
    assert [path.name for path in out.parent.iterdir()] == ["set.parquet"]


def test_features_of_a_day_without_recent_loans_can_still_be_materialised(snapshots, tmp_path):
    store, use_case = FeatureStore(tmp_path / "features"), load_use_case("credit")
    history = FolderSnapshotStore(snapshots).scan(FolderSnapshotStore(snapshots).latest("credit").id)

    count = store.materialise(use_case, history, as_of=datetime(2020, 1, 1, tzinfo=UTC))

    assert count > 100  # industries and states; nobody asks about a loan of years ago


def test_no_label_in_the_training_set_was_unknown_on_the_day(command, tmp_path):
    command("build", "--as-of", "2007-01-01", "--out", str(tmp_path / "set.parquet"))

    frame = pl.read_parquet(tmp_path / "set.parquet")
    assert frame.height > 20_000
    assert frame["label_matured_at"].max() <= datetime(2007, 1, 1, tzinfo=UTC)
    assert frame["label_matured_at"].min() > datetime(2002, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("cut", [datetime(2004, 3, 17, tzinfo=UTC), datetime(2008, 10, 1, tzinfo=UTC)])
def test_the_real_history_cut_short_gives_the_same_rows_up_to_the_cut(snapshots, cut):
    store = FolderSnapshotStore(snapshots)
    snapshot = store.latest("credit").id
    then, whole = store.scan(snapshot, as_of=cut), store.scan(snapshot)

    for view in load_use_case("credit").features.views:
        rows = view_rows(view, then).collect()
        newest = then.drop_nulls(view.entity).select(pl.col("known_at").max()).collect().item()
        assert rows.height > 1_000
        assert rows.equals(view_rows(view, whole).filter(pl.col("event_time") <= newest).collect())


def test_an_empty_window_is_a_usage_error_in_three_lines(command):
    code, _, told = command("build", "--as-of", "1950-01-01")

    assert code == 2
    assert [line.split(":")[0] for line in told.splitlines()] == ["error", "expected", "to do"]


def test_a_day_that_is_none_is_a_usage_error(command):
    code, _, told = command("build", "--as-of", "soon")

    assert code == 2
    assert "--as-of" in told


def test_materialise_then_skew_passes_and_a_later_day_fails(command, tmp_path):
    online = ["--features", str(tmp_path / "online"), "--json"]

    made = command("materialise", "--as-of", "2005-01-01", *online)
    agreed = command("skew", "--as-of", "2005-01-01", *online)
    late = command("skew", "--as-of", "2005-06-01", *online)

    assert json.loads(made[1])[0]["entities"] > 100
    assert [agreed[0], late[0]] == [0, 1]
    assert {line["outcome"] for line in json.loads(agreed[1])} == {"pass"}
    assert "modelway features materialise credit --as-of 2005-06-01" in late[2]


def test_restart_goes_back_in_time(command, tmp_path):
    online = ["--features", str(tmp_path / "online"), "--json"]
    command("materialise", "--as-of", "2005-06-01", *online)

    stayed = (
        command("materialise", "--as-of", "2005-01-01", *online),
        command("skew", "--as-of", "2005-01-01", *online),
    )
    went = (
        command("materialise", "--as-of", "2005-01-01", "--restart", *online),
        command("skew", "--as-of", "2005-01-01", *online),
    )

    assert [code for code, _, _ in stayed] == [0, 1]
    assert [code for code, _, _ in went] == [0, 0]


def test_rows_are_written_in_parts_for_batch_scoring(command, tmp_path):
    period = ["--since", "2005-01-01", "--until", "2005-02-01"]

    code, shown, _ = command(
        "rows", *period, "--target", str(tmp_path / "rows"), "--rows-per-file", "300", "--json"
    )

    parts = sorted((tmp_path / "rows").glob("*.parquet"))
    frame = pl.concat(pl.read_parquet(part) for part in parts)
    written = json.loads(shown)[0]
    assert code == 0
    assert (written["files"], written["rows"]) == (len(parts), frame.height)
    assert frame["loan_id"].n_unique() == frame.height > 300
    assert frame.columns == ["loan_id", "event_time", *load_use_case("credit").features.names]
