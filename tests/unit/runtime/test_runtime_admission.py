"""Who is let in: keys, rates and room."""

import hashlib
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings as profile
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from runtime_asking import INFER, Asked

from modelway.errors import ConfigError
from serving.runtime.admission import Admission, Client, Denial, TokenBuckets
from serving.runtime.keys import Keys, main, new_key, read_keys, revoke
from serving.runtime.settings import Limits, Settings

RATE_RPS, BURST = 4.0, 3


class Bucket:
    """The plain reading of a token bucket: tokens that drip in and never overflow."""

    def __init__(self) -> None:
        self.tokens, self.at_s = float(BURST), 0.0

    def take(self, now_s: float) -> bool:
        self.tokens = min(BURST, self.tokens + (now_s - self.at_s) * RATE_RPS)
        self.at_s = now_s
        if self.tokens < 1 - 1e-6:
            return False
        self.tokens -= 1
        return True


class AgainstDrippingBuckets(RuleBasedStateMachine):
    """Times are eighths of a second: exact in binary, so that both agree to the last token."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.buckets = TokenBuckets(RATE_RPS, BURST, max_clients=3, now_s=lambda: self.now_s)
        self.plain: dict[str, Bucket] = {}
        self.taken: dict[str, deque[float]] = {}

    @rule(client=st.sampled_from("abc"))
    def take(self, client: str) -> None:
        expected = self.plain.setdefault(client, Bucket()).take(self.now_s)
        wait_s = self.buckets.take(client)
        assert (wait_s == 0) == expected
        if expected:
            self.taken.setdefault(client, deque()).append(self.now_s)
        else:
            assert 0 < wait_s <= 1 / RATE_RPS

    @rule(eighths=st.integers(0, 20))
    def wait(self, eighths: int) -> None:
        self.now_s += eighths / 8

    @invariant()
    def no_window_holds_more_than_burst_and_rate(self) -> None:
        for times in self.taken.values():
            for at, start_s in enumerate(times):
                for upto in range(at, len(times)):
                    assert upto - at + 1 <= BURST + RATE_RPS * (times[upto] - start_s) + 1e-9

    @invariant()
    def memory_is_bounded(self) -> None:
        assert len(self.buckets) <= 3


AgainstDrippingBuckets.TestCase.settings = profile(max_examples=50, stateful_step_count=25, deadline=None)
TestAgainstDrippingBuckets = AgainstDrippingBuckets.TestCase


def test_a_bucket_by_hand() -> None:
    clock = [0.0]
    buckets = TokenBuckets(2.0, 2, now_s=lambda: clock[0])

    assert [buckets.take("a") for _ in range(3)] == [0, 0, 0.5]
    assert buckets.take("b") == 0
    clock[0] = 0.25
    assert buckets.take("a") == 0.25
    clock[0] = 0.5
    assert [buckets.take("a") for _ in range(2)] == [0, 0.5]


def test_who_was_quiet_for_longest_is_forgotten() -> None:
    buckets = TokenBuckets(1.0, 1, max_clients=2, now_s=lambda: 0.0)
    for client in ("a", "b", "a", "c"):
        buckets.take(client)

    assert len(buckets) == 2
    assert buckets.take("a") > 0, "asked again before c came, so b was the one to go"
    assert buckets.take("b") == 0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.yaml"


def head(path: str = INFER, **headers: str) -> Asked:
    return Asked(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def admission(file: Path, **more: Any) -> Admission:
    return Admission(Settings(keys_file=file, **more))


def refused(answer: Client | Denial) -> tuple[int, str]:
    assert isinstance(answer, Denial)
    return answer.status, answer.reason


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
def test_a_key_opens_the_door_by_either_header(file: Path, scheme: str) -> None:
    key = new_key(file, "batch", days=None, models=())
    door = admission(file)

    assert door.identify(head(authorization=f"{scheme} {key}")) == Client("key:batch")
    assert door.identify(head(x_api_key=key)) == Client("key:batch")


def test_without_a_known_key_it_stays_shut_and_says_how_to_ask(file: Path) -> None:
    key = new_key(file, "batch", days=None, models=())
    door = admission(file)
    missing = door.identify(head())

    assert refused(missing) == (401, "key_missing")
    assert missing.headers == (("www-authenticate", 'Bearer realm="modelway"'),)
    for wrong in (key + "x", key[:-1], "", key.upper(), "\udce9"):
        assert refused(door.identify(head(authorization=f"Bearer {wrong}"))) == (401, "key_unknown")
    assert refused(door.identify(head(authorization=f"Basic {key}"))) == (401, "key_missing")
    assert key not in file.read_text()


def test_health_is_open_and_metrics_as_the_settings_say(file: Path) -> None:
    new_key(file, "batch", days=None, models=())
    for path in ("/v2/health/live", "/v2/health/ready", "/metrics"):
        assert isinstance(admission(file).identify(head(path)), Client)

    assert refused(admission(file, metrics_need_key=True).identify(head("/metrics"))) == (401, "key_missing")
    assert refused(admission(file).identify(head("/v2/health/live/../../models"))) == (401, "key_missing")


def test_a_key_for_one_model_is_not_for_another_nor_for_loading(file: Path) -> None:
    key = new_key(file, "batch", days=None, models=("paint",))
    door = admission(file)

    for path in (INFER, "/v1/models/paint:predict", "/v2/models/paint", "/v2", "grpc:paint:1"):
        assert isinstance(door.identify(head(path, x_api_key=key)), Client)
    for path in (
        "/v2/models/other/infer",
        "/v2/models/painting/infer",
        "grpc:other:1",
        "/v2/repository/models/paint/unload",
    ):
        assert refused(door.identify(head(path, x_api_key=key))) == (403, "key_forbidden")


def test_a_key_expires(file: Path) -> None:
    key, now = new_key(file, "batch", days=1, models=()), datetime.now(UTC)

    assert Keys(file, lambda: now + timedelta(hours=23)).find(key) is not None
    assert Keys(file, lambda: now + timedelta(hours=25)).find(key) is None


def test_one_key_replaces_another_without_a_gap(file: Path) -> None:
    clock = [0.0]
    old = new_key(file, "batch", days=None, models=())
    keys = Keys(file, now_s=lambda: clock[0])
    new = new_key(file, "batch", days=None, models=())

    assert keys.find(new) is None, "the file is looked at once a second"
    clock[0] = 1.0
    assert keys.find(new) is not None
    assert keys.find(old) is not None
    assert revoke(file, "batch") == 2
    clock[0] = 2.0
    assert keys.find(new) is None


@pytest.mark.parametrize(
    "content", ["keys: [", "keys: [{name: a}]", "tokens: []", "keys: [{name: a, sha256: zz}]"]
)
def test_a_broken_file_keeps_the_keys_that_were_and_says_so(
    file: Path, content: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    clock = [0.0]
    key = new_key(file, "batch", days=None, models=())
    keys = Keys(file, now_s=lambda: clock[0])
    file.write_text(content)
    clock[0] = 1.0

    assert keys.find(key) is not None
    assert b"keys_not_read" in capfdbinary.readouterr().out
    samples = [sample for family in keys.families() for sample in family.samples]
    assert 'modelway_keys_loads_total{result="failed"} 1' in samples
    with pytest.raises(ConfigError):
        Keys(file)
    file.unlink()
    clock[0] = 2.0
    assert keys.find(key) is not None


def test_the_file_holds_hashes_that_anybody_can_redo(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "batch", "--file", str(file), "--days", "2", "--model", "paint"]) == 0
    key = capsys.readouterr().out.strip()
    entry = yaml.safe_load(file.read_text())["keys"][0]

    assert entry["sha256"] == hashlib.sha256(key.encode()).hexdigest()
    assert (entry["name"], entry["models"]) == ("batch", ["paint"])
    assert file.stat().st_mode & 0o077 == 0
    assert len(key) > 40
    assert main(["revoke", "batch", "--file", str(file)]) == 0
    assert read_keys(file) == ()
    assert main(["new", "no such name", "--file", str(file)]) == 2
    assert main(["revoke", "batch", "--file", str(file.with_name("none"))]) == 2


def test_no_more_come_in_than_there_is_room_for() -> None:
    door = Admission(Settings(limits=Limits(max_in_flight=2)))
    client = Client("a")

    assert door.enter(client) is None
    assert door.enter(client) is None
    full = door.enter(client)
    assert refused(full) == (503, "in_flight")
    assert ("retry-after", "1") in full.headers
    door.leave()
    assert door.enter(client) is None


def test_too_many_of_one_client_wait_and_another_is_let_in() -> None:
    door = Admission(Settings(limits=Limits(rate_rps=0.1, burst=2)))

    assert [door.enter(Client("a")) for _ in range(2)] == [None, None]
    denied = door.enter(Client("a"))
    assert refused(denied) == (429, "rate")
    assert denied.headers == (("retry-after", "10"),)
    assert door.enter(Client("b")) is None
    assert door.identify(Asked(INFER, client="10.0.0.1:4711")) == Client("10.0.0.1")
    assert door.identify(Asked(INFER, client="[::1]:4711")) == Client("[::1]")
