import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelway.errors import ConfigError, NotReadyError
from modelway.stats.sequential import Counts
from serving.rollout.pairing import Pairing
from serving.rollout.rewards import Rewards, read_rewards
from serving.rollout.sights import SHIFT_BINS, RewardKind, RewardSource

OPENED = datetime(2026, 3, 1, tzinfo=UTC)
THRESHOLDS = {"v1": 0.5, "v2": 0.5}
Row = tuple[str, str | None, float, float]
"""Request id, entity, probability, seconds after the window opened."""
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Closes one log file of a revision, as the runtime does."""
    numbers = itertools.count()

    def make(revision: str, *rows: Row, event: datetime | None = None) -> Path:
        moments = [OPENED + timedelta(seconds=at) for *_, at in rows]
        table = pa.table(
            {
                "_request_id": [row[0] for row in rows],
                "_row": pa.array([0] * len(rows), pa.int32()),
                "_entity_id": pa.array([row[1] for row in rows], pa.string()),
                "_event_time": pa.array([event or at for at in moments], pa.timestamp("us", tz="UTC")),
                "_received_at": pa.array(moments, pa.timestamp("us", tz="UTC")),
                "_revision": [revision] * len(rows),
                "_probability": pa.array([row[2] for row in rows], pa.float32()),
            }
        )
        path = tmp_path / f"{revision}-1-{next(numbers)}.parquet"
        pq.write_table(table, path)
        return path

    return make


def pairing(folder: Path) -> Pairing:
    return Pairing(folder, OPENED, THRESHOLDS, stable="v1", canary="v2")


def at(seconds: float) -> int:
    return int((OPENED + timedelta(seconds=seconds)).timestamp() * 1e6)


def test_answers_are_paired_by_the_clients_request_id(tmp_path: Path, write: Write) -> None:
    write("v1", ("a", None, 0.2, 1), ("b", None, 0.6, 2), ("c", None, 0.4, 3), ("old", None, 0.1, -5))
    write("v2", ("b", None, 0.4, 2), ("a", None, 0.3, 1), ("x", None, 0.9, 1))

    found = pairing(tmp_path).totals(at(5))

    assert (found.compared, found.changed, found.unpaired) == (2, 1, 0)  # "c" may still come
    assert sum(found.shifts) == 2
    assert found.shifts[round(0.1 * SHIFT_BINS)] + found.shifts[round(0.1 * SHIFT_BINS) - 1] == 1
    assert pairing(tmp_path).totals(at(60)).unpaired == 1


def test_without_ids_entity_and_event_time_pair_and_repeats_count_once(tmp_path: Path, write: Write) -> None:
    when = datetime(2020, 1, 1, tzinfo=UTC)
    write("v1", ("p1-1", "k", 0.2, 1), ("p1-2", "k", 0.2, 2), ("p1-3", "j", 0.2, 3), event=when)
    write("v2", ("p2-1", "j", 0.9, 3), ("p2-2", "k", 0.2, 1), event=when)

    found = pairing(tmp_path).totals(at(60))

    assert (found.compared, found.changed, found.unpaired) == (2, 1, 0)


def test_requests_that_nothing_names_stay_unpaired(tmp_path: Path, write: Write) -> None:
    write("v1", ("p1-1", "k", 0.2, 1))
    write("v2", ("p2-1", "k", 0.2, 1))

    assert pairing(tmp_path).totals(at(60)).unpaired == 1


def test_a_later_file_completes_the_pairs_and_a_fresh_reader_says_the_same(
    tmp_path: Path, write: Write
) -> None:
    reader = pairing(tmp_path)
    write("v1", ("a", None, 0.2, 1), ("b", None, 0.2, 1))
    assert reader.totals(at(2)).compared == 0
    write("v2", ("a", None, 0.2, 1))
    assert reader.totals(at(3)).compared == 1
    write("v2", ("b", None, 0.2, 1))

    assert reader.totals(at(60)) == pairing(tmp_path).totals(at(60))
    assert reader.totals(at(60)).compared == 2


def test_a_file_that_cannot_be_read_is_no_evidence(tmp_path: Path) -> None:
    (tmp_path / "v1-1-1.parquet").write_bytes(b"half a file")

    with pytest.raises(NotReadyError, match="cannot be read"):
        pairing(tmp_path).totals()


def test_each_entity_counts_once_for_the_arm_it_saw_first(tmp_path: Path, write: Write) -> None:
    write("v2", ("b", "k", 0.9, 5))
    write("v1", ("a", "k", 0.2, 1), ("c", "j", 0.7, 1), ("d", None, 0.7, 1))

    totals = Rewards(tmp_path, OPENED, THRESHOLDS, RewardSource()).totals()

    assert totals == {"v1": Counts(trials=3, events=2), "v2": Counts()}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_rewards_come_by_entity_or_request_id_and_only_known_ones_count(
    tmp_path: Path, write: Write, kind: str
) -> None:
    write("v1", ("a", "k", 0.2, 1), ("c", "j", 0.7, 1))
    write("v2", ("b", None, 0.9, 5), ("e", "m", 0.9, 5))
    path = tmp_path / "labels" / f"labels.{kind}"
    path.parent.mkdir()
    source = RewardSource(kind=RewardKind.FILE, path=path)
    rewards = Rewards(tmp_path, OPENED, THRESHOLDS, source)
    assert rewards.totals()["v1"].trials == 0

    if kind == "csv":
        path.write_text("key,reward\nk,1\nb,0\nm,\n")
    else:
        pq.write_table(pa.table({"key": ["k", "b", "m"], "reward": [1.0, 0.0, None]}), path)

    assert rewards.totals() == {"v1": Counts(trials=1, events=1), "v2": Counts(trials=1, events=0)}


def test_a_rewards_file_of_another_form_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("id,reward\nk,1\n")
    with pytest.raises(ConfigError, match="no column key"):
        read_rewards(path)
    path.write_text("key,reward\nk,0.7\n")
    with pytest.raises(ConfigError, match=r"reward '0\.7'"):
        read_rewards(path)
