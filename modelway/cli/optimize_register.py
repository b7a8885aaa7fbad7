"""`modelway optimize … --register`: a variant as a version of its model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from modelway.cli.naming import parsed
from modelway.cli.output import emit
from modelway.errors import ConfigError
from modelway.home import Home
from modelway.people import account

if TYPE_CHECKING:
    from modelway.bundle.variant import EnginesFor, Int8
    from modelway.registry.model_version import ModelVersion
    from modelway.registry.variants import Workshop

REGISTER = typer.Option(
    False, "--register", help="Measure it on its origin's test rows, and register it as a version."
)


def registering(model: str | None, **elsewhere: Path | None) -> str:
    """The registered model that a variant is to be made from.

    Args:
        model: As it was named.
        elsewhere: Options that say where rows or bundles lie, by their names; none goes with `--register`.

    Raises:
        ConfigError: No registered model was named, or something else was.
    """
    given = [f"--{name.replace('_', '-')}" for name, path in elsewhere.items() if path is not None]
    if given or not model:
        raise ConfigError(
            f"--register with {', '.join(given) or 'no model'}",
            expected="NAME@VERSION alone: the rows are the origin's own, so that it can be made again",
            remedy="modelway models list",
        )
    return model


def register(model: str, recipe: "Int8 | EnginesFor", *, as_json: bool) -> None:
    """Make, measure, sign and enter a variant, and say what came of it.

    Raises:
        ParityError: It answers differently.
        GateError: A limit was not kept.
        ModelwayError: As `register_variant`.
    """
    from modelway.registry.variant_gates import Origin  # noqa: PLC0415 - --help does without
    from modelway.registry.variants import register_variant  # noqa: PLC0415 - as above
    from modelway.usecase import load_use_case  # noqa: PLC0415 - as above
    from stacks.active import registry  # noqa: PLC0415 - ZenML and MLflow, seconds

    books, (name, reference) = registry(), parsed(model)
    origin = Origin.of(books, name, reference)
    use_case = load_use_case(origin.bundle.lineage.use_case)
    version = register_variant(books, use_case, origin, recipe, workshop(), who=account())
    _tell(version, as_json=as_json)


def workshop() -> "Workshop":
    """The active stack's places, and this home's key."""
    from modelway.bundle.signing import load_or_create_key  # noqa: PLC0415 - --help does without
    from modelway.registry.variants import Workshop  # noqa: PLC0415 - as above
    from stacks import active  # noqa: PLC0415 - ZenML and MLflow, seconds

    home = Home.current()
    return Workshop(
        snapshots=active.snapshot_store(),
        frames=active.frames_folder(),
        bundles=active.bundles_folder(),
        engines=home.root / "engines",
        key=load_or_create_key(home.keys),
    )


def _tell(version: "ModelVersion", *, as_json: bool) -> None:
    from modelway.registry.variant_facts import COMPARED  # noqa: PLC0415 - --help does without

    if as_json:
        emit([version.model_dump(mode="json")], as_json=True)
        return
    held = [r for r in version.verdict.reasons if r.metric.startswith(COMPARED)]
    lines: list[dict[str, Any]] = [
        {
            "held to its origin": r.metric.removeprefix(COMPARED),
            "outcome": r.outcome.value,
            "found": r.message,
        }
        for r in held
    ]
    made = "" if version.variant is None else version.variant.words
    emit(lines, as_json=False, title=f"{version.reference} ({version.semantic}): {made}")
    emit(_measured(version), as_json=False, title="ONNX Runtime here, one thread")
    print(f"{version.verdict.summary()}\nbundle: {version.bundle_path}")
    print(f"modelway rollout start {version.reference}")


def _measured(version: "ModelVersion") -> list[dict[str, Any]]:
    told = version.verdict.evidence.get("variant", {}).get("latency_onnxruntime_cpu", {})
    return [{"of": of, **line} for of, lines in told.items() for line in lines]
