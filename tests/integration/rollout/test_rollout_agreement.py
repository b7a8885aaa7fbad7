"""Traffic, record and registry say the same after a kill at any act, and whatever is typed next."""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "rollout"))  # the same target as the unit tests'

from target_in_memory import FakeTarget

import stacks.experiment
import stacks.interrupted
import stacks.release
import stacks.rollback
import stacks.settling
import stacks.standby
from modelway.contract import Outcome, Slo, Verdict
from modelway.errors import ApprovalError, BundleRejectedError, GateError, NotFoundError, TransitionError
from modelway.registry.model_version import ModelVersion, RollbackPlan
from modelway.registry.stages import Move, Shelf, Stage, replay
from serving.rollout import runner
from serving.rollout.runner import Record, Records
from serving.rollout.sights import RewardSource
from serving.rollout.state import Phase
from serving.rollout.target import Revision
from stacks.release import Manner, Released

SLO = Slo(latency_limit_ms=25, latency_percentile=99, max_error_rate=0.01, rate_rps=100)
HISTORY = [(Move.REGISTERED, v) for v in (1, 2, 3)] + [(Move.STAGED, v) for v in (1, 2, 3)]


class KilledError(BaseException):
    """Stands for kill -9: nothing may catch it."""


class Doom:
    """Kills whoever has done the n-th act; 0 kills nobody."""

    left = 0

    def on(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            answer = call(*args, **kwargs)
            if self.left == 0:
                raise KilledError
            return answer

        return counted


ACTS = {"deploy", "route", "split", "serve", "promote", "retire", "rollback"}
"""What leaves something behind. That a kill at a look does no harm is the unit tests' matter."""


class Doomed:
    """What changes an object, under a doom."""

    def __init__(self, found: Any, doom: Doom) -> None:
        self._found, self._doom = found, doom

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._found, name)
        return self._doom.on(value) if name in ACTS else value


def at_turns(write: Callable[..., None], doom: Doom) -> Callable[..., None]:
    """Under a doom where the state goes on to another phase, stop or window."""

    def turn(record: Record | None) -> object:
        return record and (record.plan.id, record.state.phase, record.state.step, record.state.window)

    def wrapped(self: Records, record: Record) -> None:
        turned = turn(self.read(record.plan.service)) != turn(record)
        (doom.on(write) if turned else write)(self, record)

    return wrapped


class Target(FakeTarget):
    """With what the commands ask for beyond a rollout."""

    running, gateway_url = True, "http://nowhere"

    def __init__(self, root: Path, bad: Mapping[str, float]) -> None:
        super().__init__(bad)
        self.root = root
        self.replicas, self.weights = {"paint-v1": 1}, {"paint-v1": 100}
        self.good = {"paint-v3": 0.7}

    def live(self) -> Revision:
        (name,) = (name for name, weight in self.weights.items() if weight == 100)
        return revision(name)

    def serve(self, chosen: Revision, *, replicas: int = 1) -> str:
        self.deploy(chosen, replicas=replicas)
        self.route({chosen.id: 100})
        for other in sorted(set(self.replicas) - {chosen.id}):
            self.retire(other)
        return self.gateway_url


class Registry:
    """The registry's own rules on a shelf in memory; without files, and without anybody's approval."""

    def __init__(self, *, refuses: type[Exception] | None) -> None:
        self.shelf: Shelf = replay([*HISTORY, (Move.PROMOTED, 1)])
        self.refuses = refuses
        self.approvals = SimpleNamespace(check=lambda *_, **__: None)

    def get(self, name: str, version: int) -> ModelVersion:
        return ModelVersion(
            name=name,
            version=version,
            stage=self.shelf.stages[version],
            digest=f"paint-v{version}",
            bundle_path=Path(f"paint-v{version}"),
            run_id="run",
            aliases=(),
            verdict=Verdict(outcome=Outcome.PASS),
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )

    def bundle(self, name: str, version: int) -> Any:
        id_ = f"{name}-v{version}"
        return SimpleNamespace(
            signature=SimpleNamespace(model_name=name), slo=SLO, path=Path(id_), digest=id_
        )

    def champion(self, name: str) -> ModelVersion:
        return self.get(name, self.shelf.production or 0)

    def promote(self, name: str, version: int, **_: Any) -> ModelVersion:
        if self.refuses:
            raise self.refuses(f"{name}@{version} may not be in production")
        return self._move(Move.PROMOTED, version)

    def retire(self, name: str, version: int, **_: Any) -> ModelVersion:
        return self._move(Move.RETIRED, version)

    def rollback(self, name: str, *, to: int, **_: Any) -> ModelVersion:
        return self._move(Move.ROLLED_BACK, to)

    def fallbacks(self, _name: str) -> tuple[ModelVersion, ...]:
        return ()

    def rollback_plan(self, name: str) -> RollbackPlan:
        if self.shelf.predecessor is None:
            raise TransitionError("no version served before it")
        back, now = self.get(name, self.shelf.predecessor), self.champion(name)
        return RollbackPlan(now=now, back=back, verdict=Verdict(outcome=Outcome.PASS), then=None)

    def _move(self, move: Move, version: int) -> ModelVersion:
        self.shelf = self.shelf.after(move, version)
        return self.get("paint", version)


def revision(name: str) -> Revision:
    return Revision(id=name, bundle=Path(name), digest=name, verify_key=Path("keys/verify.pem"))


class World:
    """One gateway, one registry, and the commands on them."""

    def __init__(self, root: Path, doom: Doom, strategy: str, *, bad: float, refuses: Any) -> None:
        self.target = Target(root, {"paint-v2": bad, "paint-v3": bad})
        self.registry = Registry(refuses=refuses)
        self.doom, self._strategy = doom, strategy

    def parts(self) -> tuple[Any, Any]:
        return Doomed(self.target, self.doom), Doomed(self.registry, self.doom)

    def start(self) -> None:
        two, three = self.registry.get("paint", 2), self.registry.get("paint", 3)
        if self._strategy == "a-b":
            stacks.experiment.compare([two, three], who="ada", effect=0.2, source=RewardSource())
        else:
            self.release()

    def release(self) -> Released:
        more = {"watch_s": 0.0} if self._strategy == "blue-green" else {"weights": (50, 100)}
        two = self.registry.get("paint", 2)
        return stacks.release.release(two, who="ada", strategy=self._strategy, **more)

    def resume(self) -> None:
        stacks.interrupted.resume("paint", who="ada")

    def abort(self) -> None:
        stacks.interrupted.abort("paint", who="ada", why="the boss called")

    def back(self) -> None:
        stacks.rollback.go_back("paint", who="ada", why="complaints")

    def killed(self, command: Callable[[], None], at: int) -> bool:
        """Whether the command was killed after that act; False where it ended before."""
        self.doom.left = at
        try:
            with suppress(ApprovalError, NotFoundError, TransitionError):
                command()
        except KilledError:
            return True
        finally:
            self.doom.left = 0
        return False

    def agree(self, *, of_rollout: bool = True) -> None:
        """Traffic and registry; the record too, where nothing came after the rollout."""
        shelf, record = self.registry.shelf, Records(self.target.root).read("paint")
        (live,) = self.target.weights
        assert live == f"paint-v{shelf.production}"
        if record is not None and of_rollout:
            state = record.state
            assert state.finished
            assert (state.phase is Phase.PROMOTED) is (live == state.canary), state.phase
            left = {arm.id for arm in record.plan.challengers} - {live}
            assert not left & set(self.target.replicas), "challengers that lost are gone"
            lost = state.phase is Phase.ROLLED_BACK and state.trial is None
            assert not lost or shelf.stages[2] is Stage.ARCHIVED, "nobody's challenger any more"
            assert not Records(self.target.root).abort_asked("paint")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    monkeypatch.setenv("MODELWAY_HOME", str(tmp_path))
    monkeypatch.setattr(runner.time, "sleep", lambda _s: None)
    doom, made = Doom(), list[World]()
    monkeypatch.setattr(os, "fsync", lambda _file: None)
    monkeypatch.setattr(runner.Records, "write", at_turns(runner.Records.write, doom))
    parts = ("experiment", "interrupted", "release", "settling", "rollback")
    for module in (getattr(stacks, name) for name in parts):
        monkeypatch.setattr(module, "serving_target", lambda _name: made[-1].parts()[0])
        monkeypatch.setattr(module, "registry", lambda: made[-1].parts()[1])
    monkeypatch.setattr(stacks.rollback, "serves_on_a_cluster", lambda: True)
    monkeypatch.setattr(stacks.standby, "warm_versions", lambda: 1)
    monkeypatch.setattr(stacks.release, "reports_folder", lambda: tmp_path / "reports")

    def make(strategy: str, *, bad: float = 0.0, refuses: Any = None) -> World:
        root = tmp_path / str(len(made))
        made.append(World(root, doom, strategy, bad=bad, refuses=refuses))
        return made[-1]

    return make


def over(start: Callable[[], World], first: str, then: str) -> int:
    """Kill one command after every act and give another; returns how often it was killed.

    Before an act is after the one before it: nothing else leaves anything behind.
    """
    for deaths in range(1000):
        world = start()
        if not world.killed(getattr(world, first), deaths + 1):
            return deaths
        world.killed(getattr(world, then), 0)
        world.agree(of_rollout=first != "back")
    raise AssertionError("it never came to an end")


STRATEGIES = ("canary", "shadow-canary", "blue-green", "a-b")
ENDS = {"good": {}, "bad": {"bad": 0.3}, "rejected": {"refuses": ApprovalError}}


@pytest.mark.parametrize("then", ["start", "resume", "abort"])
@pytest.mark.parametrize(
    ("strategy", "end"),
    [*((strategy, end) for strategy in STRATEGIES for end in ("good", "bad")), ("canary", "rejected")],
)
def test_a_rollout_killed_at_any_act_is_settled_by_whatever_is_typed_next(
    world: Callable[..., World], strategy: str, end: str, then: str
) -> None:
    assert over(lambda: world(strategy, **ENDS[end]), "start", then) > 5


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_abort_killed_at_any_act_is_settled_too(world: Callable[..., World], strategy: str) -> None:
    def begun() -> World:
        found = world(strategy)
        assert found.killed(found.start, 6)
        return found

    assert over(begun, "abort", "resume") >= 3
    assert over(begun, "abort", "abort") >= 3


def test_a_rollback_killed_at_any_act_is_carried_on_by_the_same_command(world: Callable[..., World]) -> None:
    def promoted() -> World:
        found = world("canary")
        found.start()
        assert found.registry.shelf.production == 2
        return found

    assert over(promoted, "back", "back") >= 2


def test_a_rollout_that_is_long_over_moves_no_traffic_when_it_is_resumed(world: Callable[..., World]) -> None:
    found = world("canary")
    found.start()
    found.back()

    found.resume()

    assert found.target.weights == {"paint-v1": 100}
    assert found.registry.shelf.production == 1


def _finished_but_not_booked(found: World, phase: Phase) -> None:
    """Killed after the record's last word, before the registry heard of it."""

    def killed(*_: Any, **__: Any) -> ModelVersion:
        raise KilledError

    books: Any = found.registry
    books.promote = books.retire = killed
    with pytest.raises(KilledError):
        found.start()
    del books.promote, books.retire
    assert Records(found.target.root).require("paint").state.phase is phase
    assert found.registry.shelf.stages[2] is Stage.STAGING


def test_what_a_killed_rollout_found_wanting_is_not_rolled_out_by_the_next_start(
    world: Callable[..., World],
) -> None:
    found = world("canary", bad=0.3)
    _finished_but_not_booked(found, Phase.ROLLED_BACK)
    found.target.bad = {}

    with pytest.raises(TransitionError, match="Archived"):
        found.start()

    assert found.registry.shelf.stages[2] is Stage.ARCHIVED
    found.agree()


def test_a_start_that_only_has_to_enter_a_promotion_succeeds(world: Callable[..., World]) -> None:
    found = world("canary")
    _finished_but_not_booked(found, Phase.PROMOTED)

    manner = found.release().manner

    assert found.registry.shelf.production == 2
    found.agree()
    assert (manner, found.release().manner) == (Manner.SETTLED, Manner.AGAIN)


@pytest.mark.parametrize("error", [ApprovalError, BundleRejectedError, GateError])
def test_what_may_not_be_promoted_after_all_loses_its_traffic_again(
    world: Callable[..., World], error: type[Exception]
) -> None:
    found = world("canary")
    found.registry.refuses = error

    with pytest.raises(error):
        found.start()

    assert found.target.weights == {"paint-v1": 100}
    assert Records(found.target.root).require("paint").state.phase is Phase.ABORTED
    found.agree()


@pytest.mark.parametrize("first", ["start", "resume"])
def test_between_the_last_traffic_and_the_books_nobody_else_moves_anything(
    world: Callable[..., World], first: str
) -> None:
    found = world("canary")
    found.registry.shelf = replay([*HISTORY, (Move.PROMOTED, 3), (Move.PROMOTED, 1)])
    if first != "start":
        assert found.killed(found.start, 6)
    told: list[str] = []

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        for command in (found.back, found.abort, found.resume, found.start):
            with pytest.raises(TransitionError) as refused:
                command()
            told.append(refused.value.found)
        return kept(*args, **kwargs)

    books: Any = found.registry
    kept, books.promote = books.promote, meanwhile
    getattr(found, first)()
    del books.promote

    what = {"start": "the rollout of paint@2", "resume": "`modelway rollout resume`"}[first]
    assert set(told) == {f"paint: {what} (process {os.getpid()}) moves its traffic"}
    assert len(told) == 4
    found.agree()


def test_going_back_waits_for_a_promotion_that_is_not_in_the_books(world: Callable[..., World]) -> None:
    found = world("canary")
    found.registry.shelf = replay([*HISTORY, (Move.PROMOTED, 3), (Move.PROMOTED, 1)])
    _finished_but_not_booked(found, Phase.PROMOTED)

    with pytest.raises(TransitionError, match="not in the books"):
        found.back()
    assert found.target.weights == {"paint-v2": 100}

    found.resume()
    found.back()
    assert found.target.weights == {"paint-v1": 100}
    found.agree(of_rollout=False)
