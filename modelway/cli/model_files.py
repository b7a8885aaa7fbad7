"""`modelway models card`, `sbom` and `prune`: what lies in the bundles of a model, and for how long."""

import typer

from modelway.cli.naming import JSON, MODEL, NAME, WHO, parsed, registered
from modelway.cli.output import emit
from modelway.errors import NotFoundError
from modelway.people import account


def card(
    model: str = MODEL,
    html: bool = typer.Option(False, "--html", help="Print the page instead of Markdown."),
) -> None:
    """Print the model card, as it was signed."""
    from modelway.bundle.bundle import CARD_FILE  # noqa: PLC0415 - --help does without
    from modelway.registry.card_page import CARD_PAGE_FILE  # noqa: PLC0415 - as above

    print(_signed(model, CARD_PAGE_FILE if html else CARD_FILE), end="")


def sbom(model: str = MODEL) -> None:
    """Print the CycloneDX list of packages that a server of this version runs on, as it was signed."""
    from modelway.bundle.sbom import SBOM_FILE  # noqa: PLC0415 - --help does without

    print(_signed(model, SBOM_FILE), end="")


def _signed(model: str, file: str) -> str:
    """One file of a version's bundle."""
    bundle = registered().bundle(*parsed(model))
    if file not in bundle.manifest.files:
        raise NotFoundError(
            f"the bundle of {model} holds no {file}",
            expected="a bundle that a training has packed since there are such files",
            remedy="train again",
        )
    return bundle.read(file).decode()


def prune(
    name: str = NAME,
    keep: int = typer.Option(..., min=0, help="How many of the newest archived versions stay whole."),
    rollbacks: int = typer.Option(None, min=0, help="Rollbacks in a row to keep possible; default: all."),
    why: str = typer.Option("", "--why", help="The reason; it goes into the audit log. Not for a dry run."),
    who: str = WHO,
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would go; change nothing."),
    json_: bool = JSON,
) -> None:
    """Remove the bundles of old archived versions that no rollback returns to; the decisions on them stay."""
    retention = registered().retention
    if dry_run:
        found, title = retention.plan(name, keep=keep, rollbacks=rollbacks), "Would go"
    else:
        by = who or account()
        found = retention.prune(name, keep=keep, rollbacks=rollbacks, who=by, why=why)
        title = "Pruned"
    emit([each.model_dump() for each in found], as_json=json_, title=title)
