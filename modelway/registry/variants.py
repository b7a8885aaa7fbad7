"""A registered version in another form - int8, compiled engines - as a version of its own.

It takes the road of every version: measured on the test rows of its origin, held to every limit, signed,
entered into the log.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modelway.bundle.variant import EnginesFor, Int8
from modelway.contract import Outcome, Verdict
from modelway.data.frames import write_frame
from modelway.data.snapshot import FolderSnapshotStore
from modelway.errors import GateError, IntegrityError
from modelway.optimize.variants import make, sha256
from modelway.registry.model_version import ModelVersion
from modelway.registry.openings import open_test
from modelway.registry.variant_gates import Origin, check_origin, measured
from modelway.registry.variant_packing import packed, report
from modelway.training.replay import training_rows
from modelway.training.splits import Splits, split_by_time

if TYPE_CHECKING:
    from modelway.registry.registry import Registry
    from modelway.usecase import UseCase

Recipe = Int8 | EnginesFor


@dataclass(frozen=True)
class Workshop:
    """Where the rows lie, where bundles and engines go, and who signs."""

    snapshots: FolderSnapshotStore
    frames: str
    """Path or URL for the tables made on the way, content-addressed."""
    bundles: Path
    engines: Path
    key: Ed25519PrivateKey


def register_variant(  # noqa: PLR0913 - what of what, where, and by whom
    registry: "Registry", use_case: "UseCase", origin: Origin, recipe: Recipe, shop: Workshop, *, who: str
) -> ModelVersion:
    """Make a variant, measure it, and enter it. Nothing is entered or signed unless every limit was kept.

    Args:
        registry: Of the origin.
        use_case: The one that the origin's lineage names.
        origin: From `Origin.of`.
        recipe: What to make of it.
        shop: Places and key.
        who: Person or program that makes it.

    Raises:
        ParityError: It answers differently on the origin's drift reference.
        GateError: The origin did not pass its gates, or a limit was not kept on the test rows.
        TransitionError: The origin was rejected.
        ConfigError: The origin is a variant itself.
        IntegrityError: The test rows cannot be made again as they were.
        UnsupportedGraphError: The graph has no such form.
        EngineError: TensorRT is missing, or built no engine.
    """
    check_origin(origin.version)
    made = make(origin.bundle, recipe, shop.engines)
    splits = same_splits(use_case, origin, shop)
    name = origin.version.name
    openings = open_test(registry.audit, splits.test.sha256, sha256(made.graph), model=name, who=who)
    champion = registry.champion(name)
    beside = None if champion is None else registry.bundle(name, champion.version)
    found = measured(use_case, origin, made, splits, recipe.limit, beside, openings)
    _require(found.verdict, origin, recipe)
    bundle = packed(use_case, origin, recipe, found, shop.bundles, shop.key)
    return registry.register(
        bundle,
        evaluation=found.evaluation,
        verdict=found.verdict & Verdict(outcome=Outcome.PASS, evidence={"variant": report(origin, made)}),
        run_id=origin.version.run_id,
        who=who,
        trained_by=origin.version.trained_by,
    )


def same_splits(use_case: "UseCase", origin: Origin, shop: Workshop) -> Splits:
    """The very rows that the origin was made from and measured on, made again from its lineage.

    Raises:
        NotFoundError: The snapshot is gone.
        IntegrityError: Other rows came out, or the lineage does not say which they were.
    """
    lineage = origin.bundle.lineage
    history = shop.snapshots.scan(lineage.snapshot_id, as_of=lineage.as_of)
    rows = training_rows(
        use_case, history, as_of=lineage.as_of, replay=lineage.replay, window_months=lineage.window_months
    )
    found = write_frame(rows, shop.frames).sha256
    splits = split_by_time(rows, shop.frames)
    test, before = splits.test.load(), origin.evaluation
    counted = (test.height, int(test["label"].sum()))
    if found != lineage.training_set_sha256 or counted != (before.rows, before.positives):
        raise IntegrityError(
            f"the rows of {origin.version.reference} cannot be made again: {found[:12]}, test rows {counted}",
            expected=f"{(lineage.training_set_sha256 or 'none named')[:12]}, "
            f"test rows {(before.rows, before.positives)}",
            remedy="check out the commit that its lineage names, or train again",
        )
    return splits


def _require(verdict: Verdict, origin: Origin, recipe: Recipe) -> None:
    if not verdict.passed:
        raise GateError(
            f"{recipe.words} of {origin.version.reference} is not registered. {verdict.summary()}",
            expected="every limit kept, on the test rows of its origin",
            remedy="serve the origin as it is; a wider precision or --limit may hold where answers differ",
        )
