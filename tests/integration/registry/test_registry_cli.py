"""`modelway models` and `modelway evaluate`, on a real registry."""

import json
import sys
from types import ModuleType

import pytest

from modelway.cli.main import main
from modelway.registry.governance import GovernancePolicy


@pytest.fixture
def run(workshop, monkeypatch, capsys):
    """Run a command against the workshop's registry: exit code, stdout, stderr."""
    active = ModuleType("stacks.active")
    active.registry = lambda: workshop.registry
    monkeypatch.setitem(sys.modules, "stacks.active", active)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(list(arguments))
        except SystemExit as stop:
            code = int(stop.code or 0)
        found = capsys.readouterr()
        return code, found.out, found.err

    return call


def test_list_shows_every_version_with_its_stage(workshop, run):
    workshop.promoted("credit", seed=1)
    workshop.register("credit", seed=2)

    code, out, _ = run("models", "list", "--json")

    assert code == 0
    found = json.loads(out)
    assert [(v["version"], v["stage"], v["aliases"], v["verdict"]) for v in found] == [
        (2, "Staging", "challenger", "pass"),
        (1, "Production", "champion", "pass"),
    ]


def test_an_empty_registry_lists_nothing_and_is_no_error(run):
    assert run("models", "list", "--json")[:2] == (0, "[]\n")


def test_show_names_the_bundle_and_the_report(workshop, run):
    version = workshop.register("credit", seed=1)

    code, out, _ = run("models", "show", "credit@1", "--json")

    (found,) = json.loads(out)
    assert code == 0
    assert found["digest"] == version.digest
    assert found["bundle_path"] == str(version.bundle_path)
    assert found["report"].endswith("report.html")
    assert "every score is a probability" in run("models", "show", "credit")[1]


def test_promote_and_rollback_tell_what_is_in_production_now(workshop, run):
    workshop.promoted("credit", seed=1)
    workshop.register("credit", seed=2)

    assert run("models", "promote", "credit@challenger", "--why", "better lift")[0] == 0
    assert workshop.registry.get("credit", "champion").version == 2
    dry = json.loads(run("models", "rollback", "credit", "--dry-run", "--json")[1])
    assert (dry[0]["version"], dry[0]["instead_of"], dry[0]["after_that"]) == (1, "credit@2", None)
    assert dry[0]["holds"] == "pass"
    assert workshop.registry.get("credit", "champion").version == 2
    assert run("models", "rollback", "credit", "--why", "errors")[0] == 0
    assert workshop.registry.get("credit", "champion").version == 1


def test_history_on_a_day_says_what_was_in_production(workshop, run):
    workshop.promoted("credit", seed=1)
    workshop.clock.day(5)
    workshop.promoted("credit", seed=2)

    on = json.loads(run("models", "history", "credit", "--on", "2026-01-03", "--json")[1])
    everything = json.loads(run("models", "history", "credit", "--json")[1])

    assert [each["version"] for each in on] == [1]
    assert [each["version"] for each in everything] == [1, 2]
    assert everything[0]["why"] == "better than before: 1"
    assert everything[0]["ended"] == "version 2 promoted by ada: better than before: 2"
    assert everything[1]["ended"] is None


def test_history_on_a_day_says_on_what_evidence(workshop, run):
    workshop.register("credit", seed=1)
    reason = {"metric": "latency", "outcome": "pass", "message": "p99 12 ms of 50 ms"}
    evidence = {"rollout": "credit-1", "verdict": {"outcome": "pass", "reasons": [reason]}}
    workshop.registry.promote("credit", 1, who="flow:rollout", why="kept every limit", evidence=evidence)

    (found,) = json.loads(run("models", "history", "credit", "--on", "2026-01-01", "--json")[1])
    text = run("models", "history", "credit", "--on", "2026-01-01")[1]

    assert found["evidence"] == evidence
    assert "credit-1" in text
    assert "pass; p99 12 ms of 50 ms" in text
    assert run("models", "history", "credit", "--on", "2025-12-31", "--json")[1] == "[]\n"


def test_a_dry_run_fails_where_the_rollback_would_be_refused(workshop, run):
    before = workshop.promoted("credit", seed=1)
    workshop.promoted("credit", seed=2)
    model = before.bundle_path / "model.onnx"
    model.write_bytes(b"another graph")

    code, _, err = run("models", "rollback", "credit", "--dry-run")

    assert (code, "credit@1 does not hold" in err) == (3, True)


def test_errors_say_what_to_do_and_set_the_exit_code(workshop, run):
    workshop.promoted("credit", seed=1)
    workshop.register("credit", seed=2, good=False)

    code, _, err = run("models", "show", "iris")
    assert (code, "no model named 'iris'" in err) == (2, True)
    code, _, err = run("models", "promote", "credit@1", "--why", "again")
    assert (code, "version 1 is in Production" in err) == (3, True)
    code, _, err = run("models", "promote", "credit@2", "--why", "please")
    assert (code, "did not pass its gates" in err) == (1, True)
    code, _, err = run("models", "promote", "credit", "--why", "there is no challenger")
    assert (code, "no version 'challenger'" in err) == (2, True)
    code, _, err = run("models", "rollback", "credit", "--why", "x")
    assert (code, "no version served before" in err) == (3, True)
    code, _, err = run("models", "promote", "credit@2")
    assert (code, "--why" in err) == (2, True)


def test_verify_passes_and_then_fails_with_exit_code_3_when_a_byte_is_changed(workshop, run):
    version = workshop.promoted("credit", seed=1)

    assert run("models", "verify", "credit")[0] == 0
    model = version.bundle_path / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    code, out, err = run("models", "verify", "credit")

    assert code == 3
    assert "model.onnx was altered" in out
    assert "model.onnx was altered" in err


def test_audit_commands_list_the_decisions_and_check_the_chain(workshop, run):
    assert run("models", "audit", "verify")[0] == 1  # nothing to check is no pass
    workshop.promoted("credit", seed=1)

    entries = json.loads(run("models", "audit", "log", "credit", "--json")[1])
    assert [each["event"] for each in entries] == ["model.registered", "model.staged", "model.promoted"]
    assert "better than before" in run("models", "audit", "log")[1]
    assert run("models", "audit", "log", "iris", "--json")[1] == "[]\n"
    assert run("models", "audit", "verify")[0] == 0
    assert run("audit", "verify", "--json") == run("models", "audit", "verify", "--json")
    assert run("audit", "log", "--json") == run("models", "audit", "log", "--json")


def test_retire_archives_the_challenger(workshop, run):
    workshop.register("credit", seed=1)

    assert run("models", "retire", "credit", "--why", "canary was slow")[0] == 0
    assert workshop.registry.get("credit", 1).stage.value == "Archived"


def test_evaluate_show_prints_metrics_with_intervals_and_the_report(workshop, run):
    version = workshop.register("credit", seed=1)

    code, out, _ = run("evaluate", "show", "credit@1")
    (found,) = json.loads(run("evaluate", "show", "credit", "--json")[1])

    report = workshop.registry.report("credit", 1)
    value = workshop.evaluation.metric("roc_auc").value
    assert code == 0
    assert f"{value:.4f}" in out
    assert f"report: {report}" in out
    assert report.is_file()
    assert report.with_suffix(".json").is_file(), "the same for machines"
    assert found["evaluation"]["metrics"]["roc_auc"]["value"] == value
    assert found["model"] == version.reference


def test_approve_and_reject_say_so_where_versions_are_listed(workshop, run):
    workshop.policy = GovernancePolicy(approvals=1)
    workshop.register("credit", seed=1)
    workshop.register("credit", seed=2)

    code, _, err = run("models", "promote", "credit@1", "--why", "go")
    assert (code, "0 of 1 approvals" in err) == (1, True)
    assert run("models", "approve", "credit@1", "--why", "read the report", "--who", "ada")[0] == 0
    assert run("models", "reject", "credit@2", "--why", "no better", "--who", "bob")[0] == 0
    found = json.loads(run("models", "list", "--json")[1])
    assert [each["said"] for each in found] == ["rejected by bob", "approved by ada"]
    assert run("models", "promote", "credit@1", "--why", "go")[0] == 0


def test_sbom_prints_what_was_signed_and_says_when_there_is_none(workshop, run):
    bundle = workshop.bundle("credit", seed=2, sbom_cdx_json=b'{"bomFormat":"CycloneDX"}')
    workshop.register("credit", seed=1)
    workshop.registry.register(
        bundle, evaluation=workshop.evaluation, verdict=workshop.verdict, run_id="r", who="ci"
    )

    assert run("models", "card", "credit@2")[:2] == (0, "# card\n")
    assert run("models", "sbom", "credit@2")[:2] == (0, '{"bomFormat":"CycloneDX"}')
    code, _, err = run("models", "sbom", "credit@1")
    assert (code, "holds no sbom.cdx.json" in err) == (2, True)


def test_prune_shows_first_and_removes_then(workshop, run):
    version = workshop.register("credit", seed=1)
    workshop.registry.retire("credit", 1, who="ada", why="slow")
    workshop.promoted("credit", seed=2)

    dry = json.loads(run("models", "prune", "credit", "--keep", "0", "--dry-run", "--json")[1])
    assert [each["version"] for each in dry] == [1]
    assert version.bundle_path.is_dir()
    assert run("models", "prune", "credit", "--keep", "0")[0] == 2  # no reason given
    assert run("models", "prune", "credit", "--keep", "0", "--why", "the disk is full")[0] == 0
    assert not version.bundle_path.exists()
    assert "Archived (pruned)" in run("models", "list")[1]
    code, _, err = run("models", "card", "credit@1")
    assert (code, "was pruned on" in err) == (2, True)
