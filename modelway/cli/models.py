"""`modelway models`: which version stands where, who decided it, and deciding otherwise."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from modelway.cli import model_files
from modelway.cli.naming import JSON, MODEL, NAME, WHO, WHY, parsed, registered
from modelway.cli.output import emit
from modelway.errors import IntegrityError, VerdictError
from modelway.people import account

if TYPE_CHECKING:
    from modelway.contract import Verdict
    from modelway.registry.ledger import Tenure
    from modelway.registry.model_version import ModelVersion, RollbackPlan

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="List, promote, roll back and verify registered models."
)
audit_app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="The log of who decided what, when and why."
)
app.add_typer(audit_app, name="audit")

for _command in (model_files.card, model_files.sbom, model_files.prune):
    app.command()(_command)


@app.command("list")
def list_(name: str = typer.Argument(None, help="Only this model."), json_: bool = JSON) -> None:
    """List registered versions, the newest of each model first."""
    emit([_line(version) for version in registered().list(name)], as_json=json_, title="Models")


@app.command()
def show(model: str = MODEL, json_: bool = JSON) -> None:
    """Show one version: where it stands, what it is made of, and the verdict on it."""
    registry, (name, reference) = registered(), parsed(model)
    version = registry.get(name, reference)
    found = version.model_dump(mode="json") | {"report": str(registry.report(name, version.version))}
    if json_:
        emit([found], as_json=True)
        return
    facts = {**found, "aliases": ", ".join(version.aliases), "verdict": version.verdict.outcome.value}
    emit([{"field": k, "value": v} for k, v in facts.items()], as_json=False, title=version.reference)
    emit(_reasons(version.verdict), as_json=False, title="Gates")


@app.command()
def history(
    name: str = NAME,
    on: datetime = typer.Option(None, formats=["%Y-%m-%d"], help="What was in production that day, UTC."),
    json_: bool = JSON,
) -> None:
    """Say which versions were in production, from when to when, and who put them there."""
    tenures = registered().history(name, on.date() if on else None)
    if json_:
        emit([_tenure(each) | _grounds(each) for each in tenures], as_json=True)
        return
    emit([_tenure(each) for each in tenures], as_json=False, title=f"{name} in production")
    if on:
        facts = [fact for each in tenures for fact in _facts(each)]
        emit(facts, as_json=False, title=f"What the decisions rested on that held on {on:%Y-%m-%d}")


@app.command()
def promote(model: str = MODEL, why: str = WHY, who: str = WHO, json_: bool = JSON) -> None:
    """Put a version that passed its gates into production; the present one is kept for a rollback."""
    name, reference = parsed(model)
    version = registered().promote(name, reference or "challenger", who=who or account(), why=why)
    emit([_line(version)], as_json=json_, title="Now in production")


@app.command()
def approve(model: str = MODEL, why: str = WHY, who: str = WHO, json_: bool = JSON) -> None:
    """Say yes to a version in Staging; the stack's rules say whose word counts, and how many it takes."""
    name, reference = parsed(model)
    registry = registered()
    version = registry.approvals.approve(name, reference or "challenger", who=who or account(), why=why)
    emit([_line(registry.get(name, version))], as_json=json_, title="Approved")


@app.command()
def reject(model: str = MODEL, why: str = WHY, who: str = WHO, json_: bool = JSON) -> None:
    """Keep a version out of production, for good."""
    name, reference = parsed(model)
    registry = registered()
    version = registry.approvals.reject(name, reference or "challenger", who=who or account(), why=why)
    emit([_line(registry.get(name, version))], as_json=json_, title="Rejected")


@app.command()
def rollback(
    name: str = NAME,
    why: str = typer.Option("", "--why", help="The reason; it goes into the audit log. Not for a dry run."),
    who: str = WHO,
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would happen; change nothing."),
    json_: bool = JSON,
) -> None:
    """Put the version that served before the present one back into production."""
    registry = registered()
    if dry_run:
        _foretell(registry.rollback_plan(name), as_json=json_)
        return
    version = registry.rollback(name, who=who or account(), why=why)
    emit([_line(version)], as_json=json_, title="Back in production")


def _foretell(plan: "RollbackPlan", *, as_json: bool) -> None:
    """Say what a rollback would do; a failed command where it would be refused."""
    back = _line(plan.back) | {
        "instead_of": plan.now.reference,
        "holds": plan.verdict.outcome.value,
        "after_that": plan.then,
    }
    emit([back], as_json=as_json, title="A rollback would return to")
    _require(plan.verdict, f"{plan.back.reference} does not hold")


@app.command()
def retire(model: str = MODEL, why: str = WHY, who: str = WHO, json_: bool = JSON) -> None:
    """Archive a version that never reached production."""
    name, reference = parsed(model)
    version = registered().retire(name, reference or "challenger", who=who or account(), why=why)
    emit([_line(version)], as_json=json_, title="Archived")


@app.command()
def verify(model: str = MODEL, json_: bool = JSON) -> None:
    """Read every byte of a version again and hold it against the log. Exit code 3 when it was altered."""
    name, reference = parsed(model)
    _conclude(registered().verify(name, reference), f"{model} does not hold", as_json=json_)


@audit_app.command("verify")
def audit_verify(json_: bool = JSON) -> None:
    """Recompute the log's hash chain; compare it with MLflow. Exit code 3 when it was tampered with."""
    _conclude(registered().verify_log(), "the audit log does not hold", as_json=json_)


@audit_app.command("log")
def audit_log(
    name: str = typer.Argument(None, help="Only decisions on this model."), json_: bool = JSON
) -> None:
    """List decisions, the oldest first."""
    entries = [e for e in registered().audit.entries() if not name or e.subject.startswith(f"model:{name}#")]
    if json_:
        emit([entry.model_dump(mode="json") for entry in entries], as_json=True)
        return
    emit(
        [
            {
                "id": e.id,
                "at": f"{e.at:%Y-%m-%d %H:%M:%S}",
                "event": e.event,
                "subject": e.subject.split("#")[0],
                "version": e.evidence.get("version"),
                "semantic": e.evidence.get("semantic"),
                "who": e.who,
                "why": e.why,
            }
            for e in entries
        ],
        as_json=False,
        title="Decisions",
    )


def _line(version: "ModelVersion") -> dict[str, Any]:
    return {
        "name": version.name,
        "version": version.version,
        "semantic": version.semantic,
        "stage": f"{version.stage.value}{'' if version.pruned is None else ' (pruned)'}",
        "form": "" if version.variant is None else version.variant.words,
        "aliases": ", ".join(version.aliases),
        "verdict": version.verdict.outcome.value,
        "said": _said(version),
        "created_at": f"{version.created_at:%Y-%m-%d %H:%M}",
        "digest": version.digest[:12],
    }


def _said(version: "ModelVersion") -> str:
    if version.rejected_by is not None:
        return f"rejected by {version.rejected_by}"
    return f"approved by {', '.join(version.approved_by)}" if version.approved_by else ""


def _tenure(tenure: "Tenure") -> dict[str, Any]:
    return {
        "version": tenure.version,
        "semantic": tenure.semantic,
        "form": "" if tenure.variant is None else tenure.variant.words,
        "from": f"{tenure.start.astimezone(UTC):%Y-%m-%d %H:%M}",
        "to": f"{tenure.end.astimezone(UTC):%Y-%m-%d %H:%M}" if tenure.end else None,
        "how": tenure.how,
        "who": tenure.who,
        "why": tenure.why,
        "ended": tenure.ended_why,
        "digest": tenure.digest[:12],
    }


def _grounds(tenure: "Tenure") -> dict[str, Any]:
    """Everything that a decision rested on, and where it stands in the log."""
    return {
        "evidence": tenure.evidence,
        "gates": None if tenure.verdict is None else tenure.verdict.model_dump(mode="json"),
        "opinions": [opinion.model_dump(mode="json") for opinion in tenure.opinions],
        "trained_by": tenure.trained_by,
        "audit_entry": tenure.entry,
        "audit_hash": tenure.entry_hash,
    }


def _facts(tenure: "Tenure") -> list[Mapping[str, Any]]:
    """A decision's grounds in words; a verdict as its outcome and reasons."""
    said = "; ".join(
        f"{'approved' if o.approved else 'rejected'} by {o.who} on {o.at:%Y-%m-%d}: {o.why}"
        for o in tenure.opinions
    )
    grounds = _grounds(tenure)
    facts = {**tenure.evidence, "gates": grounds["gates"], "opinions": said or "nobody was asked"}
    facts |= {"trained by": tenure.trained_by, "audit entry": f"{tenure.entry} {tenure.entry_hash[:12]}"}
    return [
        {"version": tenure.version, "fact": key, "found": _words(found)}
        for key, found in facts.items()
        if found is not None
    ]


def _words(found: Any) -> str:
    if not isinstance(found, Mapping):
        return str(found)
    if "outcome" in found:
        reasons = [str(reason["message"]) for reason in found.get("reasons", ())]
        return "; ".join([str(found["outcome"]), *reasons])
    return "; ".join(str(value) for value in found.values())


def _reasons(verdict: "Verdict") -> list[Mapping[str, Any]]:
    return [{"checked": r.metric, "outcome": r.outcome.value, "found": r.message} for r in verdict.reasons]


def _conclude(verdict: "Verdict", what: str, *, as_json: bool) -> None:
    """Print what was checked, and fail the command unless all of it held."""
    if as_json:
        emit([verdict.model_dump(mode="json")], as_json=True)
    else:
        emit(_reasons(verdict), as_json=False, title=verdict.outcome.value.upper())
    _require(verdict, what)


def _require(verdict: "Verdict", what: str) -> None:
    if verdict.outcome.value == "fail":
        raise IntegrityError(
            f"{what}: {verdict.summary()}",
            expected="everything as it was registered and decided",
            remedy="restore the altered part from a backup, or roll back to a version that holds",
        )
    if not verdict.passed:
        raise VerdictError(f"{what}: {verdict.summary()}", expected="something to check", remedy="")
