"""`modelway reproduce`: make a registered model again from its lineage, and compare."""

from typing import TYPE_CHECKING

import typer

from modelway.cli.output import emit
from modelway.errors import VerdictError

if TYPE_CHECKING:
    from modelway.bundle.bundle import Bundle
    from modelway.bundle.variant import Variant
    from modelway.contract import Verdict
    from modelway.registry.registry import Registry

app = typer.Typer(add_completion=False, help="Make a registered model again and compare.")


@app.command()
def reproduce(
    model: str = typer.Argument(help="NAME@VERSION or NAME@ALIAS, e.g. credit@3."),
    json_: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Rebuild from snapshot, code, lock and seed. Exit code 1 unless rows, bytes and answers agree."""
    from stacks.active import registry  # noqa: PLC0415 - ZenML and MLflow, seconds

    name, _, reference = model.partition("@")
    known = registry()
    version = known.get(name, reference or None)
    bundle = known.bundle(name, version.version)
    verdict = _variant(known, bundle, version.variant) if version.variant else _training(bundle)
    rows = [{"check": r.metric, "outcome": r.outcome.value, "found": r.message} for r in verdict.reasons]
    emit(rows, as_json=json_, title=f"{model} again")
    if not verdict.passed:
        raise VerdictError(
            verdict.summary(),
            expected="the same model",
            remedy="check out the commit and install the lock file that the lineage names, then try again",
        )


def _training(bundle: "Bundle") -> "Verdict":
    from modelway.training.reproduce import reproduce as run  # noqa: PLC0415 - torch, seconds
    from modelway.usecase import load_use_case  # noqa: PLC0415 - polars, 100 ms
    from stacks import active  # noqa: PLC0415 - ZenML, seconds

    use_case = load_use_case(bundle.lineage.use_case)
    return run(use_case, bundle, active.snapshot_store(), active.frames_folder())


def _variant(known: "Registry", bundle: "Bundle", variant: "Variant") -> "Verdict":
    """A variant is made again from its origin, which has a lineage of its own."""
    from modelway.cli.optimize_register import workshop  # noqa: PLC0415 - --help does without
    from modelway.registry.variant_again import reproduce_variant  # noqa: PLC0415 - as above
    from modelway.registry.variant_gates import Origin  # noqa: PLC0415 - as above
    from modelway.usecase import load_use_case  # noqa: PLC0415 - as above

    origin = Origin.of(known, bundle.signature.model_name, variant.origin_version)
    return reproduce_variant(load_use_case(bundle.lineage.use_case), origin, variant, bundle, workshop())
