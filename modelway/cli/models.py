"""`modelway models`: which version stands where, who decided it, and deciding otherwise."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from modelway.cli.output import emit
from modelway.errors import IntegrityError, NotFoundError, VerdictError
from modelway.people import account

if TYPE_CHECKING:
    from modelway.contract import Verdict
    from modelway.registry.ledger import Tenure
    from modelway.registry.model_version import ModelVersion, RollbackPlan
    from modelway.registry.registry import Registry

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="List, promote, roll back and verify registered models."
)
audit_app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="The log of who decided what, when and why."
)
app.add_typer(audit_app, name="audit")

_MODEL = typer.Argument(help="NAME, NAME@3, NAME@1.2.0, NAME@champion or NAME@challenger.")
_NAME = typer.Argument(help="Name of the model, e.g. credit.")
_WHY = typer.Option(..., "--why", help="The reason; it goes into the audit log.")
_WHO = typer.Option("", "--who", help="Who decides; default: the user of this machine.")
_JSON = typer.Option(False, "--json", help="Print JSON.")


@app.command("list")
def list_(name: str = typer.Argument(None, help="Only this model."), json_: bool = _JSON) -> None:
    """List registered versions, the newest of each model first."""
    emit([_line(version) for version in _registry().list(name)], as_json=json_, title="Models")


@app.command()
def show(model: str = _MODEL, json_: bool = _JSON) -> None:
    """Show one version: where it stands, what it is made of, and the verdict on it."""
    registry, (name, reference) = _registry(), parsed(model)
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
    name: str = _NAME,
    on: datetime = typer.Option(None, formats=["%Y-%m-%d"], help="What was in production that day, UTC."),
    json_: bool = _JSON,
) -> None:
    """Say which versions were in production, from when to when, and who put them there."""
    tenures = _registry().history(name, on.date() if on else None)
    if json_:
        emit([_tenure(each) | {"evidence": each.evidence} for each in tenures], as_json=True)
        return
    emit([_tenure(each) for each in tenures], as_json=False, title=f"{name} in production")
    if on:
        facts = [fact for each in tenures for fact in _facts(each)]
        emit(facts, as_json=False, title=f"What the decisions rested on that held on {on:%Y-%m-%d}")


@app.command()
def promote(model: str = _MODEL, why: str = _WHY, who: str = _WHO, json_: bool = _JSON) -> None:
    """Put a version that passed its gates into production; the present one is kept for a rollback."""
    name, reference = parsed(model)
    version = _registry().promote(name, reference or "challenger", who=who or account(), why=why)
    emit([_line(version)], as_json=json_, title="Now in production")


@app.command()
def approve(model: str = _MODEL, why: str = _WHY, who: str = _WHO, json_: bool = _JSON) -> None:
    """Say yes to a version in Staging; the stack's rules say whose word counts, and how many it takes."""
    name, reference = parsed(model)
    registry = _registry()
    version = registry.approvals.approve(name, reference or "challenger", who=who or account(), why=why)
    emit([_line(registry.get(name, version))], as_json=json_, title="Approved")


@app.command()
def reject(model: str = _MODEL, why: str = _WHY, who: str = _WHO, json_: bool = _JSON) -> None:
    """Keep a version out of production, for good."""
    name, reference = parsed(model)
    registry = _registry()
    version = registry.approvals.reject(name, reference or "challenger", who=who or account(), why=why)
    emit([_line(registry.get(name, version))], as_json=json_, title="Rejected")


@app.command()
def rollback(
    name: str = _NAME,
    why: str = typer.Option("", "--why", help="The reason; it goes into the audit log. Not for a dry run."),
    who: str = _WHO,
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would happen; change nothing."),
    json_: bool = _JSON,
) -> None:
    """Put the version that served before the present one back into production."""
    registry = _registry()
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
def retire(model: str = _MODEL, why: str = _WHY, who: str = _WHO, json_: bool = _JSON) -> None:
    """Archive a version that never reached production."""
    name, reference = parsed(model)
    version = _registry().retire(name, reference or "challenger", who=who or account(), why=why)
    emit([_line(version)], as_json=json_, title="Archived")


@app.command()
def verify(model: str = _MODEL, json_: bool = _JSON) -> None:
    """Read every byte of a version again and hold it against the log. Exit code 3 when it was altered."""
    name, reference = parsed(model)
    _conclude(_registry().verify(name, reference), f"{model} does not hold", as_json=json_)


@app.command()
def card(
    model: str = _MODEL,
    html: bool = typer.Option(False, "--html", help="Print the page instead of Markdown."),
) -> None:
    """Print the model card, as it was signed."""
    from modelway.bundle.bundle import CARD_FILE  # noqa: PLC0415 - --help does without
    from modelway.registry.card_page import CARD_PAGE_FILE  # noqa: PLC0415 - as above

    print(_signed(model, CARD_PAGE_FILE if html else CARD_FILE), end="")


@app.command()
def sbom(model: str = _MODEL) -> None:
    """Print the CycloneDX list of packages that a server of this version runs on, as it was signed."""
    from modelway.bundle.sbom import SBOM_FILE  # noqa: PLC0415 - --help does without

    print(_signed(model, SBOM_FILE), end="")


def _signed(model: str, file: str) -> str:
    """One file of a version's bundle."""
    bundle = _registry().bundle(*parsed(model))
    if file not in bundle.manifest.files:
        raise NotFoundError(
            f"the bundle of {model} holds no {file}",
            expected="a bundle that a training has packed since there are such files",
            remedy="train again",
        )
    return bundle.read(file).decode()


@audit_app.command("verify")
def audit_verify(json_: bool = _JSON) -> None:
    """Recompute the log's hash chain. Exit code 3 when it was tampered with."""
    _conclude(_registry().audit.verify(), "the audit log does not hold", as_json=json_)


@audit_app.command("log")
def audit_log(
    name: str = typer.Argument(None, help="Only decisions on this model."), json_: bool = _JSON
) -> None:
    """List decisions, the oldest first."""
    entries = [e for e in _registry().audit.entries() if not name or e.subject.startswith(f"model:{name}#")]
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


def parsed(model: str) -> tuple[str, str | None]:
    """`credit@3` as ("credit", "3"); without a version the second is None."""
    name, _, reference = model.partition("@")
    return name, reference or None


def _registry() -> "Registry":
    from stacks.active import registry  # noqa: PLC0415 - ZenML, seconds that --help need not pay

    return registry()


def _line(version: "ModelVersion") -> dict[str, Any]:
    return {
        "name": version.name,
        "version": version.version,
        "semantic": version.semantic,
        "stage": version.stage.value,
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
        "from": f"{tenure.start.astimezone(UTC):%Y-%m-%d %H:%M}",
        "to": f"{tenure.end.astimezone(UTC):%Y-%m-%d %H:%M}" if tenure.end else None,
        "how": tenure.how,
        "who": tenure.who,
        "why": tenure.why,
        "ended": tenure.ended_why,
        "digest": tenure.digest[:12],
    }


def _facts(tenure: "Tenure") -> list[Mapping[str, Any]]:
    """A decision's evidence in words; a verdict as its outcome and reasons."""
    return [
        {"version": tenure.version, "fact": key, "found": _words(found)}
        for key, found in tenure.evidence.items()
        if found is not None
    ] or [{"version": tenure.version, "fact": "none", "found": "decided by hand"}]


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
