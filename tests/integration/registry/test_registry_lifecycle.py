"""Register, promote, roll back, look back: on a real MLflow store."""

from datetime import date

import pytest

from modelway.errors import ConfigError, GateError, InputError, NotFoundError, TransitionError
from modelway.registry.stages import Stage


def test_a_version_that_passed_its_gates_waits_in_staging_as_challenger(workshop):
    found = workshop.register("credit", seed=1)

    assert (found.version, found.stage, found.aliases) == (1, Stage.STAGING, ("challenger",))
    assert found.verdict.passed
    assert found.bundle_path.is_dir()
    assert workshop.registry.get("credit") == found
    assert workshop.registry.champion("credit") is None


def test_a_version_that_failed_its_gates_stays_in_development_and_is_refused(workshop):
    found = workshop.register("credit", seed=1, good=False)

    assert (found.stage, found.aliases) == (Stage.DEVELOPMENT, ())
    for stage in (Stage.STAGING, Stage.PRODUCTION):
        with pytest.raises(GateError, match=r"credit@1 did not pass its gates: fail: ROC-AUC"):
            workshop.registry.promote("credit", 1, who="ada", why="I like it", to=stage)
    assert workshop.registry.get("credit", 1).stage is Stage.DEVELOPMENT


def test_a_promotion_archives_the_version_before_and_keeps_its_bundle(workshop):
    first = workshop.promoted("credit", seed=1)
    second = workshop.promoted("credit", seed=2)

    assert (second.stage, second.aliases) == (Stage.PRODUCTION, ("champion",))
    assert workshop.registry.champion("credit") == second
    assert workshop.registry.get("credit", 1).stage is Stage.ARCHIVED
    assert workshop.registry.bundle("credit", 1).digest == first.digest


def test_mlflow_shows_what_was_decided(workshop, mlflow_client):
    workshop.promoted("credit", seed=1)
    second = workshop.promoted("credit", seed=2)
    workshop.register("credit", seed=3)

    assert dict(mlflow_client.get_registered_model("credit").aliases) == {"champion": 2, "challenger": 3}
    shown = mlflow_client.get_model_version_by_alias("credit", "champion")
    assert shown.source == str(second.bundle_path)
    assert shown.tags["modelway.digest"] == second.digest
    assert shown.tags["modelway.stage"] == "Production"
    assert shown.tags["modelway.verdict"] == "pass"
    assert mlflow_client.get_model_version("credit", "1").tags["modelway.stage"] == "Archived"


def test_promoting_twice_is_refused_and_says_how_to_go_back(workshop):
    workshop.promoted("credit", seed=1)

    with pytest.raises(TransitionError, match=r"version 1 is in Production.*\n.*Staging\n.*rollback"):
        workshop.registry.promote("credit", 1, who="ada", why="again")


def test_a_rollback_returns_to_the_version_before_and_the_next_one_goes_further_back(workshop):
    for seed in (1, 2, 3):
        workshop.promoted("credit", seed=seed)
    registry = workshop.registry

    assert registry.rollback_plan("credit").back.version == 2
    assert registry.rollback("credit", who="pager", why="errors").version == 2
    assert registry.rollback("credit", who="pager", why="still errors").version == 1
    stages = {each.version: each.stage for each in registry.list("credit")}
    assert stages == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED, 3: Stage.ARCHIVED}
    with pytest.raises(TransitionError, match="version 1 is in production, and no version served before"):
        registry.rollback("credit", who="pager", why="panic")
    with pytest.raises(TransitionError, match="no version served before"):
        registry.rollback_plan("credit")


def test_a_rollback_to_a_version_that_is_not_the_one_before_is_refused(workshop):
    """Somebody went back already: whoever meant the same does not go back twice."""
    for seed in (1, 2, 3):
        workshop.promoted("credit", seed=seed)
    workshop.registry.rollback("credit", who="ada", why="complaints", to=2)

    with pytest.raises(TransitionError, match="cannot roll back to version 2"):
        workshop.registry.rollback("credit", who="bob", why="complaints", to=2)

    assert workshop.registry.champion("credit").version == 2


def test_a_rollback_before_any_promotion_says_so(workshop):
    workshop.register("credit", seed=1)

    with pytest.raises(TransitionError, match="nothing is in production"):
        workshop.registry.rollback("credit", who="ada", why="?")


def test_a_retired_challenger_is_archived_and_can_be_registered_anew(workshop):
    workshop.promoted("credit", seed=1)
    workshop.register("credit", seed=2)

    retired = workshop.registry.retire("credit", "challenger", who="rollout", why="canary was slow")
    again = workshop.register("credit", seed=2)

    assert (retired.version, retired.stage, retired.aliases) == (2, Stage.ARCHIVED, ())
    assert (again.version, again.stage) == (3, Stage.STAGING)
    with pytest.raises(TransitionError, match="version 2 is in Archived"):
        workshop.registry.promote("credit", 2, who="ada", why="x")
    with pytest.raises(TransitionError, match="version 1 is in Production"):
        workshop.registry.retire("credit", "champion", who="ada", why="x")


def test_the_same_bundle_keeps_its_version_and_a_newer_verdict_counts(workshop):
    first = workshop.register("credit", seed=1)
    assert workshop.register("credit", seed=1) == first

    worse = workshop.register("credit", seed=1, good=False)

    assert worse.version == 1
    assert not worse.verdict.passed
    assert worse.aliases == ()
    events = [entry.event for entry in workshop.audit.entries()]
    assert events == ["model.registered", "model.staged", "model.evaluated"]
    with pytest.raises(GateError):
        workshop.registry.promote("credit", 1, who="ada", why="x")


def test_history_says_what_was_in_production_on_a_day(workshop):
    workshop.promoted("credit", seed=1)  # on 1 January
    workshop.clock.day(10)
    workshop.promoted("credit", seed=2)  # on the 11th
    workshop.clock.day(10)
    workshop.registry.rollback("credit", who="pager", why="errors")  # on the 21st

    def on(day: int) -> list[int]:
        return [t.version for t in workshop.registry.history("credit", date(2026, 1, day))]

    everything = workshop.registry.history("credit")
    assert [(t.version, t.how, t.who) for t in everything] == [
        (1, "promoted", "ada"),
        (2, "promoted", "ada"),
        (1, "rolled back", "pager"),
    ]
    assert everything[-1].end is None
    assert (on(5), on(11), on(15), on(21), on(30)) == ([1], [1, 2], [2], [2, 1], [1])
    assert workshop.registry.history("credit", date(2025, 12, 31)) == ()


def test_the_evaluation_and_its_page_are_found_by_version_and_by_alias(workshop):
    workshop.promoted("credit", seed=1)

    assert workshop.registry.evaluation("credit").rows == 400
    page = workshop.registry.report("credit", "champion")
    assert "credit, version 1" in page.read_text()


def test_what_is_unknown_is_named_together_with_what_is_known(workshop):
    workshop.register("credit", seed=1)
    registry = workshop.registry

    with pytest.raises(NotFoundError, match=r"no model named 'iris'(.|\n)*one of credit"):
        registry.get("iris")
    with pytest.raises(NotFoundError, match=r"credit has no version '7'(.|\n)*one of 1, challenger"):
        registry.promote("credit", 7, who="ada", why="x")
    with pytest.raises(NotFoundError, match="champion"):
        registry.get("credit", "champion")
    with pytest.raises(NotFoundError):
        registry.list("iris")
    assert registry.champion("iris") is None


def test_models_do_not_share_versions_or_decisions(workshop):
    workshop.promoted("credit", seed=1)
    iris = workshop.register("iris", seed=1)

    assert iris.version == 1
    assert iris.stage is Stage.STAGING
    assert [each.reference for each in workshop.registry.list()] == ["credit@1", "iris@1"]


def test_a_decision_needs_a_name_and_a_reason(workshop):
    workshop.register("credit", seed=1)

    with pytest.raises(InputError, match="without why"):
        workshop.registry.promote("credit", 1, who="ada", why=" ")
    with pytest.raises(InputError, match="without who"):
        workshop.registry.promote("credit", 1, who="", why="better")
    assert workshop.registry.get("credit", 1).stage is Stage.STAGING


def test_nothing_is_promoted_to_archived(workshop):
    workshop.register("credit", seed=1)

    with pytest.raises(ConfigError, match="cannot be promoted to Archived"):
        workshop.registry.promote("credit", 1, who="ada", why="x", to=Stage.ARCHIVED)


def test_a_bundle_from_another_folder_is_refused(workshop, tmp_path):
    bundle = workshop.bundle("credit", seed=1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = bundle.path.rename(elsewhere / bundle.digest)

    with pytest.raises(ConfigError, match="the bundle lies in"):
        workshop.registry.register(
            type(bundle).open(moved, verify_key=workshop.verify_key),
            evaluation=workshop.evaluation,
            verdict=workshop.verdict,
            run_id="r",
            who="ci",
        )
    assert workshop.registry.list() == ()


def test_a_rollback_is_foretold_without_a_byte_being_written(workshop, mlflow_client):
    for seed in (1, 2, 3):
        workshop.promoted("credit", seed)
    mlflow_client.set_registered_model_alias("credit", "champion", "1")  # a hand that `list` would put back
    before = {path: path.read_bytes() for path in workshop.root.rglob("*") if path.is_file()}

    plan = workshop.registry.rollback_plan("credit")

    assert {path: path.read_bytes() for path in workshop.root.rglob("*") if path.is_file()} == before
    assert (plan.now.version, plan.back.version, plan.then) == (3, 2, 1)
    assert plan.verdict.passed
    done = workshop.registry.rollback("credit", who="ada", why="errors")
    assert (done.version, workshop.registry.rollback_plan("credit").back.version) == (2, 1)


def test_a_version_is_found_by_its_semantic_version_and_mlflow_shows_it(workshop, mlflow_client):
    for seed in (1, 2):
        workshop.register("credit", seed)
    workshop.registry.retire("credit", 2, who="ada", why="start over")
    workshop.register("credit", 2)

    registry = workshop.registry
    assert [each.semantic for each in reversed(registry.list("credit"))] == ["1.0.0", "1.1.0", "1.1.1"]
    assert registry.get("credit", "1.1.0").version == registry.get("credit", "v1.1.0").version == 2
    assert mlflow_client.get_model_version("credit", "3").tags["modelway.semantic"] == "1.1.1"
    with pytest.raises(NotFoundError, match=r"1\.9\.0"):
        registry.get("credit", "1.9.0")


def test_registering_again_keeps_the_semantic_version(workshop):
    first = workshop.register("credit", 1)

    assert workshop.register("credit", 1).semantic == first.semantic == "1.0.0"
