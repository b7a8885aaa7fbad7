"""What was altered is found, what was half done is finished, and two at once do not collide."""

import json
import sqlite3
import threading

import pytest

from modelway.contract import Outcome
from modelway.errors import AuditBrokenError, BundleRejectedError, TransitionError
from modelway.registry import projection as projection_module
from modelway.registry.audit import AuditLog
from modelway.registry.stages import Stage


def _outcomes(verdict) -> dict[str, Outcome]:
    return {reason.metric: reason.outcome for reason in verdict.reasons}


def test_an_untouched_version_verifies(workshop):
    workshop.promoted("credit", seed=1)

    verdict = workshop.registry.verify("credit", "champion")

    assert verdict.passed
    assert set(_outcomes(verdict)) == {
        "bundle",
        "evaluation",
        "mlflow",
        "audit.chain",
        "audit.complete",
        "audit.triggers",
    }


@pytest.mark.parametrize("file", ["model.onnx", "lineage.json", "MANIFEST.json", "MANIFEST.sig"])
def test_an_altered_bundle_fails_verification_and_is_neither_promoted_nor_rolled_back_to(workshop, file):
    old = workshop.promoted("credit", seed=1)
    workshop.promoted("credit", seed=2)
    waiting = workshop.register("credit", seed=3)
    for version in (old, waiting):
        path = version.bundle_path / file
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    assert _outcomes(workshop.registry.verify("credit", 3))["bundle"] is Outcome.FAIL
    with pytest.raises(BundleRejectedError):
        workshop.registry.promote("credit", 3, who="ada", why="x")
    with pytest.raises(BundleRejectedError):
        workshop.registry.rollback("credit", who="ada", why="x")
    with pytest.raises(BundleRejectedError):
        workshop.registry.bundle("credit", 3)
    assert workshop.registry.get("credit", "champion").version == 2


def test_another_bundle_in_the_place_of_the_registered_one_is_found(workshop):
    first, second = workshop.register("credit", seed=1), workshop.register("credit", seed=2)
    for path in first.bundle_path.iterdir():
        path.unlink()
    for path in second.bundle_path.iterdir():
        (first.bundle_path / path.name).write_bytes(path.read_bytes())

    verdict = workshop.registry.verify("credit", 1)

    assert _outcomes(verdict)["bundle"] is Outcome.FAIL
    assert f"holds bundle {second.digest[:12]}" in verdict.summary()


def test_a_missing_bundle_is_found(workshop):
    version = workshop.register("credit", seed=1)
    version.bundle_path.rename(version.bundle_path.with_name("gone"))

    assert _outcomes(workshop.registry.verify("credit", 1))["bundle"] is Outcome.FAIL


def test_an_embellished_evaluation_is_found(workshop):
    workshop.register("credit", seed=1)
    path = workshop.registry.report("credit", 1).with_name("evaluation.json")
    found = json.loads(path.read_text())
    found["metrics"]["roc_auc"]["value"] = 0.99
    path.write_text(json.dumps(found))

    assert _outcomes(workshop.registry.verify("credit", 1))["evaluation"] is Outcome.FAIL
    path.unlink()
    assert _outcomes(workshop.registry.verify("credit", 1))["evaluation"] is Outcome.FAIL


def test_a_decision_edited_behind_the_triggers_stops_every_further_decision(workshop):
    workshop.promoted("credit", seed=1)
    workshop.register("credit", seed=2)
    with sqlite3.connect(workshop.root / "audit.db") as log:
        log.execute("DROP TRIGGER entries_no_update")
        log.execute("UPDATE entries SET who = 'mallory' WHERE id = 3")
    log.close()

    verdict = workshop.registry.verify("credit", 1)
    assert verdict.outcome is Outcome.FAIL
    assert "entry 3 is not what was written" in verdict.summary()
    assert "entries_no_update" in verdict.summary()
    with pytest.raises(AuditBrokenError, match="entry 3"):
        workshop.registry.promote("credit", 2, who="ada", why="x")
    with pytest.raises(AuditBrokenError, match="entry 3"):
        workshop.registry.retire("credit", 2, who="ada", why="x")


def test_a_decision_that_makes_no_sense_is_an_error_of_ours(workshop):
    version = workshop.register("credit", seed=1)
    subject = workshop.audit.entries()[0].subject
    workshop.audit.append("model.promoted", subject, who="x", why="x", evidence={"version": 9})

    with pytest.raises(AuditBrokenError, match=r"entry 3 \(model.promoted\) makes no sense"):
        workshop.registry.get("credit", version.version)


def test_aliases_moved_by_hand_are_reported_and_put_back(workshop, mlflow_client):
    workshop.promoted("credit", seed=1)
    workshop.register("credit", seed=2)
    mlflow_client.set_registered_model_alias("credit", "champion", "2")
    mlflow_client.set_model_version_tag("credit", "2", "modelway.stage", "Production")

    verdict = workshop.registry.verify("credit", 1)
    assert _outcomes(verdict)["mlflow"] is Outcome.FAIL
    assert "alias champion, modelway.stage of version 2" in verdict.summary()
    workshop.registry.list("credit")
    assert workshop.registry.verify("credit", 1).passed
    assert dict(mlflow_client.get_registered_model("credit").aliases) == {"champion": 1, "challenger": 2}


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


def _kill_before(monkeypatch, owner, name):
    def killed(*_args, **_kwargs):
        raise Killed

    monkeypatch.setattr(owner, name, killed)


def test_a_promotion_killed_between_the_log_and_mlflow_is_finished_by_the_next_call(
    workshop, mlflow_client, monkeypatch
):
    workshop.promoted("credit", seed=1)
    workshop.register("credit", seed=2)
    registry = workshop.registry
    registry.get("credit")
    with monkeypatch.context() as patched:
        settle = projection_module.Projection.settle
        calls = []

        def die_after_deciding(self, ledger):
            calls.append(ledger)
            if len(calls) > 1:
                raise Killed
            settle(self, ledger)

        patched.setattr(projection_module.Projection, "settle", die_after_deciding)
        with pytest.raises(Killed):
            registry.promote("credit", 2, who="ada", why="better")
    assert dict(mlflow_client.get_registered_model("credit").aliases)["champion"] == 1

    assert workshop.registry.get("credit", "champion").version == 2
    assert dict(mlflow_client.get_registered_model("credit").aliases) == {"champion": 2}
    assert mlflow_client.get_model_version("credit", "1").tags["modelway.stage"] == "Archived"


def test_a_registration_killed_after_mlflow_numbered_it_is_finished_under_that_number(
    workshop, mlflow_client, monkeypatch
):
    with monkeypatch.context() as patched:
        _kill_before(patched, AuditLog, "append")
        with pytest.raises(Killed):
            workshop.register("credit", seed=1)
    assert workshop.registry.list() == ()

    again = workshop.register("credit", seed=1)

    assert (again.version, again.stage) == (1, Stage.STAGING)
    assert len(mlflow_client.search_model_versions("name='credit'")) == 1


def test_a_registration_killed_before_staging_is_staged_when_repeated(workshop, monkeypatch):
    append = AuditLog.append
    with monkeypatch.context() as patched:

        def only_the_first(self, event, *args, **kwargs):
            if event == "model.staged":
                raise Killed
            return append(self, event, *args, **kwargs)

        patched.setattr(AuditLog, "append", only_the_first)
        with pytest.raises(Killed):
            workshop.register("credit", seed=1)
    assert workshop.registry.get("credit", 1).stage is Stage.DEVELOPMENT

    assert workshop.register("credit", seed=1).stage is Stage.STAGING


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(workshop):
    for seed in (1, 2):
        workshop.register("credit", seed=seed)
    start, outcomes = threading.Barrier(2), {}

    def promote(version: int) -> None:
        registry = workshop.registry
        registry.get("credit")  # imports and connects, so that the race is about the decision
        start.wait(timeout=60)
        try:
            registry.promote("credit", version, who=f"thread {version}", why="mine")
            outcomes[version] = "promoted"
        except TransitionError as error:
            outcomes[version] = str(error)

    threads = [threading.Thread(target=promote, args=(v,)) for v in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)

    assert len(outcomes) == 2
    champion = workshop.registry.get("credit", "champion").version
    last = workshop.audit.entries()[-1]
    assert (last.event, last.evidence["version"]) == ("model.promoted", champion)
    losers = [text for text in outcomes.values() if text != "promoted"]
    assert all("changed by someone else meanwhile" in text for text in losers)
    assert workshop.registry.verify("credit", champion).passed


def test_a_store_made_anew_does_not_inherit_the_decisions_of_the_old_one(workshop, empty_store):
    workshop.promoted("credit", seed=1)
    (workshop.root / "mlflow.db").write_bytes(empty_store.read_bytes())

    assert workshop.registry.list() == ()
    again = workshop.register("credit", seed=2)

    assert (again.version, again.stage) == (1, Stage.STAGING)
    assert workshop.registry.champion("credit") is None


def test_a_log_that_is_gone_or_older_than_what_was_shown_is_never_taken_for_an_empty_one(workshop):
    workshop.promoted("credit", seed=1)
    older = workshop.audit.path.read_bytes()
    workshop.promoted("credit", seed=2)
    waiting = workshop.register("credit", seed=3)
    whole = workshop.audit.path.read_bytes()

    for content in (None, older):
        workshop.audit.path.unlink(missing_ok=True)
        if content is not None:
            workshop.audit.path.write_bytes(content)
        for attempt in (
            lambda: workshop.registry.champion("credit"),
            lambda: workshop.registry.promote("credit", waiting.version, who="eve", why="x"),
            lambda: workshop.registry.history("credit"),
            lambda: workshop.registry.rollback_plan("credit"),
            lambda: workshop.register("credit", seed=4),
        ):
            with pytest.raises(AuditBrokenError, match="log"):
                attempt()
        assert workshop.registry.verify_log().outcome is Outcome.FAIL
        assert workshop.registry.verify("credit").outcome is Outcome.FAIL

    workshop.audit.path.write_bytes(whole)
    assert workshop.registry.champion("credit").version == 2
    assert workshop.registry.verify_log().passed


def test_a_decision_that_falls_between_the_looks_is_no_lost_log(workshop, monkeypatch):
    workshop.promoted("credit", seed=1)
    books, read = workshop.registry._books, workshop.registry._books._ledger

    def read_before_somebody_decides(name, ledger_id):
        ledger = read(name, ledger_id)
        monkeypatch.undo()
        workshop.register("credit", seed=2)
        return ledger

    monkeypatch.setattr(books, "_ledger", read_before_somebody_decides)

    assert workshop.registry.verify_log().passed
