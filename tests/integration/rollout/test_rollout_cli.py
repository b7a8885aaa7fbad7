"""The commands against a real gateway; only the registry is a fake."""

import json
import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

import stacks.active
import stacks.experiment
import stacks.interrupted
import stacks.release
import stacks.settling
import stacks.standby
from modelway.bundle.bundle import Bundle
from modelway.cli import rollout, serve
from modelway.contract import Outcome, Verdict
from modelway.errors import ApprovalError, ConfigError, NotFoundError, RolloutError, TransitionError
from modelway.registry.model_version import ModelVersion
from modelway.registry.stages import Stage
from serving.gateway.files import put
from serving.gateway.ports import free_port
from serving.rollout.driver import begin
from serving.rollout.local import LocalTarget
from serving.rollout.runner import Record, Records


class FakeApprovals:
    """Refuses before a rollout, at its end, or nowhere."""

    def __init__(self) -> None:
        self.before = self.at_the_end = True

    def check(self, name: str, reference: int, *, who: str) -> None:
        if not self.before:
            raise ApprovalError(f"{name}@{reference}: {who} may not")


class FakeRegistry:
    """Two versions of `paint`, held in memory."""

    def __init__(self, bundles: dict[int, Bundle]) -> None:
        self.bundles = bundles
        self.stages = {1: Stage.PRODUCTION, 2: Stage.STAGING}
        self.promoted: list[dict[str, Any]] = []
        self.approvals = FakeApprovals()

    def get(self, name: str, reference: int | str | None = None) -> Any:
        version = {"challenger": 2, "champion": 1, None: 1}.get(reference) or int(str(reference))
        stage, bundle = self.stages[version], self.bundles[version]
        return ModelVersion(
            name=name,
            version=version,
            stage=stage,
            digest=bundle.digest,
            bundle_path=bundle.path,
            run_id="run",
            aliases=(),
            verdict=Verdict(outcome=Outcome.PASS),
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )

    def bundle(self, name: str, reference: int | str | None = None) -> Bundle:
        return self.bundles[self.get(name, reference).version]

    def list(self, name: str) -> tuple[Any, ...]:
        return tuple(self.get(name, version) for version in self.bundles)

    def serving_alias(self, _name: str) -> str:
        return "champion"

    def champion(self, name: str) -> Any:
        live = [v for v, stage in self.stages.items() if stage is Stage.PRODUCTION]
        return self.get(name, live[0]) if live else None

    def promote(self, name: str, reference: int, **facts: Any) -> Any:
        if not self.approvals.at_the_end:
            raise ApprovalError(f"{name}@{reference} was rejected meanwhile")
        self.promoted.append({"name": name, "version": reference, **facts})
        self.stages = {v: Stage.ARCHIVED if s is Stage.PRODUCTION else s for v, s in self.stages.items()}
        self.stages[reference] = Stage.PRODUCTION
        return self.get(name, reference)

    def fallbacks(self, _name: str) -> tuple[Any, ...]:
        return ()

    def retire(self, name: str, reference: int, **_facts: Any) -> Any:
        self.stages[reference] = Stage.ARCHIVED
        return self.get(name, reference)


@pytest.fixture
def registry(bundled: Callable[[str], Bundle]) -> FakeRegistry:
    return FakeRegistry({1: bundled("good"), 2: bundled("better"), 3: bundled("failing")})


@pytest.fixture
def call(
    target: LocalTarget, registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Runs a command on this test's gateway and registry; its errors are raised."""
    monkeypatch.setenv("MODELWAY_HOME", str(tmp_path))
    for module in (stacks.active, stacks.release, stacks.experiment, stacks.settling, stacks.interrupted):
        monkeypatch.setattr(module, "serving_target", lambda *_: target)
        monkeypatch.setattr(module, "registry", lambda: registry)
    monkeypatch.setattr(stacks.active, "local_gateway", lambda *_: target)
    monkeypatch.setattr(stacks.standby, "warm_versions", lambda: 0)
    monkeypatch.setattr(stacks.release, "reports_folder", lambda: tmp_path / "reports")

    def run(station: Any, *argv: str) -> Any:
        return CliRunner().invoke(station.app, list(argv), catch_exceptions=False)

    return run


def test_serve_detached_then_status_then_stop(call: Callable[..., Any], target: LocalTarget) -> None:
    port = free_port()
    served = call(serve, "paint", "--port", str(port), "--detach", "--grpc")
    assert "paint-v1 serves at" in served.output
    assert f"gRPC: 127.0.0.1:{port}" in served.output
    assert httpx.get(f"{target.gateway_url}/v2/health/ready").status_code == 200

    (line,) = json.loads(call(serve, "--status", "--json").output)
    assert (line["revision"], line["weight_percent"], line["ready"]) == ("paint-v1", 100, "1 of 1")
    assert line["grpc"] == f"127.0.0.1:{port}"

    call(serve, "--stop")
    assert not target.running
    assert json.loads(call(serve, "--status", "--json").output) == []


def test_a_gateway_is_not_stopped_under_who_moves_its_traffic(
    call: Callable[..., Any], target: LocalTarget
) -> None:
    records = Records(target.root)
    with (
        records.turn("paint", "the rollout of paint@2", drives=True),
        pytest.raises(TransitionError, match=r"paint: the rollout of paint@2 \(process \d+\)") as refused,
    ):
        call(serve, "--stop")
    assert "`modelway rollout abort paint` ends it" in str(refused.value)
    call(serve, "--stop")


def test_ctrl_c_stops_no_gateway_under_who_moves_its_traffic(
    call: Callable[..., Any], target: LocalTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as elsewhere:
        turn = Records(target.root).turn("paint", "the rollout of paint@2", drives=True)
        monkeypatch.setattr(serve, "_wait_for_a_signal", lambda: elsewhere.enter_context(turn))
        with pytest.raises(TransitionError, match=r"paint: the rollout of paint@2"):
            call(serve, "paint", "--port", str(free_port()))
        assert target.running

    monkeypatch.setattr(serve, "_wait_for_a_signal", lambda: None)
    call(serve, "paint")
    assert not target.running


def test_serve_needs_a_name_or_a_bundle(call: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="nothing to serve"):
        call(serve)


def test_a_rollout_is_started_watched_and_recorded(
    call: Callable[..., Any], target: LocalTarget, registry: FakeRegistry, load: Any, bundled: Any
) -> None:
    call(serve, "--bundle", str(bundled("good").path), "--port", str(free_port()), "--detach")

    with load(target.gateway_url):
        done = call(rollout, "start", "paint", "--weights", "50,100", "--deadline-s", "40")

    assert "paint-v2: promoted" in done.output
    assert [(each["version"], each["why"]) for each in registry.promoted] == [
        (2, "its canary kept every limit")
    ]
    record = json.loads(call(rollout, "status", "paint", "--json").output)
    assert record["state"]["phase"] == "promoted"
    assert not record["driven"]
    assert "100 %" in call(rollout, "status", "paint").output
    with pytest.raises(TransitionError, match="is over: promoted"):
        call(rollout, "abort", "paint")
    assert "it was in production already" in call(rollout, "start", "paint@2").output


def test_a_rollback_is_a_failed_verdict(
    call: Callable[..., Any], target: LocalTarget, registry: FakeRegistry, load: Any
) -> None:
    registry.stages[3] = Stage.STAGING
    call(serve, "paint", "--port", str(free_port()), "--detach")

    with load(target.gateway_url), pytest.raises(RolloutError, match="was not promoted") as caught:
        call(rollout, "start", "paint@3")

    assert caught.value.exit_code == 1
    assert registry.promoted == []
    assert registry.stages[3] is Stage.ARCHIVED


def test_only_gated_versions_are_rolled_out(call: Callable[..., Any], registry: FakeRegistry) -> None:
    registry.stages[3] = Stage.DEVELOPMENT

    with pytest.raises(TransitionError, match="paint@3 is in Development"):
        call(rollout, "start", "paint@3")


def test_without_its_approvals_a_version_gets_no_traffic_at_all(
    call: Callable[..., Any], target: LocalTarget, registry: FakeRegistry
) -> None:
    registry.approvals.before = False
    call(serve, "paint", "--port", str(free_port()), "--detach")

    with pytest.raises(ApprovalError, match="paint@2"):
        call(rollout, "start", "paint@2")

    routing = target.routing()
    assert routing is not None
    assert routing.weights == {"paint-v1": 100}


def test_a_version_that_is_rejected_during_its_rollout_loses_its_traffic_again(
    call: Callable[..., Any], target: LocalTarget, registry: FakeRegistry, load: Any
) -> None:
    registry.approvals.at_the_end = False
    call(serve, "paint", "--port", str(free_port()), "--detach")

    with load(target.gateway_url), pytest.raises(ApprovalError, match="rejected meanwhile"):
        call(rollout, "start", "paint@2", "--weights", "50,100", "--deadline-s", "40")

    assert target.live().id == "paint-v1"
    assert registry.stages == {1: Stage.PRODUCTION, 2: Stage.STAGING}


def test_the_plan_says_what_each_stop_needs_before_anything_begins(
    call: Callable[..., Any], load: Any, target: LocalTarget
) -> None:
    call(serve, "paint", "--port", str(free_port()), "--detach")

    unknown = json.loads(call(rollout, "plan", "paint", "--json").output)
    with load(target.gateway_url):
        told = json.loads(call(rollout, "plan", "paint", "--strategy", "blue-green", "--json").output)

    assert {row["minutes"] for row in unknown} == {"?"}
    assert [row["stop"] for row in told] == ["smoke", "shadow", "watch"]
    assert float(told[-1]["minutes"]) >= 1  # the watch's minute
    assert told[1]["in time"] == "yes"
    assert target.live().id == "paint-v1"


def test_an_a_b_test_promotes_its_winner_and_archives_nobody_else(
    call: Callable[..., Any], target: LocalTarget, registry: FakeRegistry, load: Any, bundled: Any
) -> None:
    # The decision itself is the metric: "good" and "better" say yes to about half of the rows in question,
    # "eager" to all of them.
    registry.bundles[3] = bundled("eager")
    registry.stages[3] = Stage.STAGING
    call(serve, "paint", "--port", str(free_port()), "--detach")

    with load(target.gateway_url):
        done = call(rollout, "ab", "paint@2", "paint@3", "--effect", "0.2", "--deadline-s", "60")

    assert "paint-v3: promoted" in done.output
    assert registry.stages[3] is Stage.PRODUCTION
    assert registry.stages[2] is Stage.STAGING
    assert target.live().id == "paint-v3"


def test_blue_green_goes_from_the_command_line_into_the_books(
    call: Callable[..., Any], target: LocalTarget, registry: FakeRegistry, load: Any
) -> None:
    call(serve, "paint", "--port", str(free_port()), "--detach")

    with load(target.gateway_url) as users:
        call(rollout, "start", "paint", "--strategy", "blue-green", "--watch-s", "1")

    record = json.loads(call(rollout, "status", "paint", "--json").output)
    assert [moment["step"] for moment in record["state"]["timeline"] if moment["step"]] == [
        "smoke",
        "shadow",
        "watch",
    ]
    assert (target.live().id, registry.champion("paint").version) == ("paint-v2", 2)
    assert {status for status, _ in users.answers} == {200}


def test_an_a_b_test_on_labels_that_come_late_is_won_and_booked(
    call: Callable[..., Any], target: LocalTarget, registry: FakeRegistry, load: Any, tmp_path: Path
) -> None:
    # The label of every key that version 2 answered is good, of every other one bad; none is known at first.
    call(serve, "paint", "--port", str(free_port()), "--detach")
    labels, over = tmp_path / "labels.csv", threading.Event()
    labels.write_text("key,reward\n")

    with load(target.gateway_url) as users:

        def mature() -> None:
            while not over.wait(0.3):
                known = [(key, "paint-v2" in arms) for key, arms in list(users.arms.items())]
                lines = [f"{key},{int(good)}" for key, good in known if any(good for _, good in known)]
                put(labels, "\n".join(["key,reward", *lines, ""]))

        thread = threading.Thread(target=mature)
        thread.start()
        try:
            done = call(rollout, "ab", "paint@2", "--effect", "0.2", "--rewards", str(labels))
        finally:
            over.set()
            thread.join()

    assert "paint-v2: promoted" in done.output
    assert (target.live().id, registry.champion("paint").version) == ("paint-v2", 2)


def test_a_drill_from_the_command_line(
    call: Callable[..., Any], target: LocalTarget, registry: FakeRegistry
) -> None:
    call(serve, "paint", "--port", str(free_port()), "--detach")

    done = json.loads(
        call(rollout, "drill", "paint", "--fault", "invalid", "--rate-rps", "60", "--json").output
    )

    assert done["phase"] == "rolled_back"
    assert done["live"] == target.live().id == "paint-v1"
    assert registry.stages == {1: Stage.PRODUCTION, 2: Stage.STAGING}
    with pytest.raises(ConfigError, match="--fault flood"):
        call(rollout, "drill", "paint", "--fault", "flood")


def test_a_drill_that_was_killed_is_undone_by_the_next_abort(
    call: Callable[..., Any], target: LocalTarget, runs_as: Any, make_plan: Any
) -> None:
    stable = runs_as("good", 1)
    twin = runs_as("failing", 9).model_copy(update={"id": "drill-errors-1a2b3c4d"})
    target.serve(stable)
    target.deploy(twin, replicas=1)
    target.route({stable.id: 50, twin.id: 50})
    plan = make_plan(stable, twin, service="paint.drill")
    Records(target.root).write(Record(plan=plan, state=begin(plan, datetime.now(UTC))))
    (target.root / "drill-left").mkdir()

    with pytest.raises(TransitionError, match="a drill of paint was killed"):
        call(rollout, "start", "paint@2")
    assert "drill-errors-1a2b3c4d: aborted" in call(rollout, "abort", "paint").output

    assert target.live() == stable
    assert target.deployed() == {"paint-v1"}
    assert Records(target.root).read("paint.drill") is None
    assert not (target.root / "drill-left").exists()


def test_a_first_rollout_takes_no_other_models_traffic(
    call: Callable[..., Any], target: LocalTarget, registry: FakeRegistry, runs_as: Any
) -> None:
    target.serve(runs_as("good", 1).model_copy(update={"id": "varnish-v1"}))
    registry.stages[1] = Stage.STAGING  # paint never served

    for command in (("start", "paint@1"), ("ab", "paint@1", "paint@2", "--effect", "0.2")):
        with pytest.raises(TransitionError, match="varnish-v1 has the traffic") as refused:
            call(rollout, *command)
        assert "`modelway serve paint --instead`" in str(refused.value)

    os.kill(target.status().pid, signal.SIGKILL)  # whoever starts it again gives varnish its traffic back
    with pytest.raises(TransitionError, match="varnish-v1 has the traffic"):
        call(rollout, "start", "paint@1")
    with pytest.raises(ConfigError, match="the gateway serves varnish"):
        call(serve, "paint@1", "--detach")
    assert target.meant() == {"varnish-v1"}
    assert registry.promoted == []


def test_no_model_takes_the_gateway_from_another_ones_rollout(
    call: Callable[..., Any], target: LocalTarget, runs_as: Any, make_plan: Any
) -> None:
    stable, canary = (
        runs_as("good", number).model_copy(update={"id": f"varnish-v{number}"}) for number in (1, 2)
    )
    target.serve(stable)
    plan = make_plan(stable, canary, service="varnish")
    Records(target.root).write(Record(plan=plan, state=begin(plan, datetime.now(UTC))))

    with pytest.raises(TransitionError, match=r"varnish: rollout varnish-v2\.1 stands at deploying"):
        call(serve, "paint@1", "--instead", "--detach")
    assert target.live() == stable


def test_nothing_is_served_over_a_rollout_that_is_under_way(
    call: Callable[..., Any], target: LocalTarget, registry: FakeRegistry, runs_as: Any, make_plan: Any
) -> None:
    plan = make_plan(runs_as("good", 1), runs_as("better", 2))
    Records(target.root).write(Record(plan=plan, state=begin(plan, datetime.now(UTC))))

    with pytest.raises(TransitionError, match="stands at deploying"):
        call(serve, "paint@1", "--port", str(free_port()), "--detach")
    with pytest.raises(TransitionError, match="stands at deploying"):
        call(rollout, "start", "paint@1")
    assert not target.running

    assert "paint-v2: aborted" in call(rollout, "abort", "paint").output
    assert registry.stages == {1: Stage.PRODUCTION, 2: Stage.STAGING}


def test_an_unknown_rollout_and_bad_weights_are_named(call: Callable[..., Any]) -> None:
    with pytest.raises(NotFoundError, match="no rollout of lead"):
        call(rollout, "status", "lead")
    with pytest.raises(ConfigError, match="five"):
        rollout.parse_weights("five,100")
