"""Requests by key wait beside the loop: each is answered once, bounded, and none after its time."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from serving.runtime import aside
from serving.runtime.aside import Aside
from serving.runtime.metrics import Metrics
from serving.runtime.online_redis import Watch
from serving.runtime.problems import ExpiredError, StoreError

METRICS = Metrics(model="m", revision="r", limit_ms=1.0)


class Store:
    """Answers, and can be closed."""

    reached, closed = True, False

    def close(self) -> None:
        self.closed = True


class Asked:
    """An exchange, as far as this stage looks at it."""

    def __init__(self, *, by_key: bool = True, deadline_ns: int | None = None) -> None:
        self.parsed, self.deadline_ns = SimpleNamespace(by_key={} if by_key else None), deadline_ns
        self.failed: list[Exception] = []

    def fail(self, error: Exception) -> None:
        self.failed.append(error)


def stage(then: Any, store: Any = None, threads: int = 2) -> Aside:
    return Aside(then, store or Store(), METRICS, threads)


def test_by_key_goes_to_another_thread_and_the_rest_stays() -> None:
    threads: dict[bool, int] = {}
    under_test = stage(
        lambda exchange: threads.update({exchange.parsed.by_key is None: threading.get_ident()})
    )

    under_test.score(Asked())  # type: ignore[arg-type]  # all that the stage looks at
    under_test.score(Asked(by_key=False))  # type: ignore[arg-type]  # as above
    under_test.close()

    assert threads[True] == threading.get_ident() != threads[False]


def test_what_fails_is_said_and_what_is_late_is_not_asked() -> None:
    asked: list[Any] = []

    def then(exchange: Any) -> None:
        asked.append(exchange)
        raise StoreError("away")

    failing, late, store = Asked(), Asked(deadline_ns=1), Store()
    under_test = stage(then, store)
    for exchange in (failing, late):
        under_test.score(exchange)  # type: ignore[arg-type]  # as above
    under_test.close()
    under_test.score(after := Asked())  # type: ignore[arg-type]  # as above

    assert [type(error) for error in (*failing.failed, *late.failed)] == [StoreError, ExpiredError]
    assert asked == [failing, after]
    assert (store.closed, len(after.failed)) == (True, 1)


def test_no_more_wait_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "MAX_WAITING", 3)
    go, answered = threading.Event(), []

    def then(exchange: Any) -> None:
        go.wait(60)
        answered.append(exchange)

    under_test = stage(then, threads=1)
    for _ in range(3):
        under_test.score(Asked())  # type: ignore[arg-type]  # as above
    with pytest.raises(StoreError, match="wait for the online store"):
        under_test.score(Asked())  # type: ignore[arg-type]  # as above
    waiting = [line for family in under_test.families() for line in family.samples]
    go.set()
    under_test.close()

    assert len(answered) == 3
    assert [line.rsplit(" ", 1)[1] for line in waiting] == ["1", "3"]


def test_one_miss_is_none_and_two_are(capfd: pytest.CaptureFixture[str]) -> None:
    watch = Watch(lambda: None)
    seen = []
    for wrong in (None, "off", None, "off", "off", "off", None):
        watch.see(wrong)
        seen.append(watch.reached)

    assert seen == [True, True, True, True, False, False, True]
    assert capfd.readouterr().out.count('"online_store"') == 2  # away, there again
    assert not Watch(lambda: "off").reached
