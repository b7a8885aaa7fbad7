"""From a measured variant to its signed bundle, and what is said of its size and speed."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modelway.bundle.bundle import MODEL_FILE, Bundle, Content
from modelway.bundle.canonical import canonical_json
from modelway.bundle.variant import VARIANT_FILE, EnginesFor, Int8, Variant
from modelway.contract import Reason
from modelway.optimize.compare import latencies
from modelway.optimize.repack import repacked
from modelway.optimize.scoring import Graph
from modelway.optimize.variants import Made, libraries, reference_rows
from modelway.registry.card import model_card
from modelway.registry.card_page import CARD_PAGE_FILE, card_page
from modelway.registry.variant_facts import COMPARED
from modelway.registry.variant_gates import Measured, Origin

if TYPE_CHECKING:
    from modelway.usecase import UseCase


def packed(  # noqa: PLR0913, PLR0917 - a bundle joins what every station before it has made
    use_case: "UseCase",
    origin: Origin,
    recipe: Int8 | EnginesFor,
    found: Measured,
    folder: Path,
    key: Ed25519PrivateKey,
) -> Bundle:
    """Write and sign the variant's bundle: the same recipe and origin give the same bytes.

    Raises:
        StorageError: The folder cannot be written.
    """
    variant = Variant(
        origin_version=origin.version.version,
        origin_digest=origin.bundle.digest,
        recipe=recipe,
        libraries=libraries(recipe),
        held={r.metric: r.found for r in found.verdict.reasons if _is_own(r) and r.found is not None},
    )
    lineage = origin.bundle.lineage.model_copy(update={"metrics": found.evaluation.values()})
    card = model_card(use_case, lineage, found.evaluation, found.verdict) + _section(variant, found.made)
    extras: dict[str, Content] = {VARIANT_FILE: canonical_json(variant)}
    extras |= {CARD_PAGE_FILE: card_page(card).encode(), **found.made.extras}
    return repacked(
        origin.bundle,
        folder,
        key,
        graph=found.made.graph,
        extras=extras,
        reference=_rescored(origin.bundle, found.made.graph),
        card=card,
        lineage=lineage,
    )


def _is_own(reason: Reason) -> bool:
    return reason.metric.startswith(COMPARED)


def _section(variant: Variant, made: Made) -> str:
    lines = (
        "",
        "## Variant",
        "",
        f"- {variant.words[:1].upper()}{variant.words[1:]}, bundle `{variant.origin_digest[:12]}`: the same",
        "  training in another form.",
        f"- {made.note[:1].upper()}{made.note[1:]}.",
        "- Everything above was measured anew on this graph; the limits named `variant.` hold its answers",
        f"  against its origin's, at most {variant.recipe.limit:g} apart in probability.",
        *(["- Where no engine fits the machine, ONNX Runtime runs the graph."] if made.extras else []),
    )
    return "\n".join(lines) + "\n"


def _rescored(origin: Bundle, graph: bytes) -> bytes | Path:
    """Drift is told from the answers of the graph that serves; the origin's file where that is its own."""
    if graph == origin.read(MODEL_FILE):
        return origin.reference
    answers = Graph(graph).probabilities(reference_rows(origin))
    buffer = io.BytesIO()
    frame = pl.read_parquet(origin.reference).with_columns(pl.Series("probability", answers))
    frame.write_parquet(buffer, compression="zstd", statistics=False)
    return buffer.getvalue()


def report(origin: Origin, made: Made) -> dict[str, Any]:
    """Size and time, measured now on this machine: evidence, and no part of the bundle."""
    before, rows = origin.bundle.read(MODEL_FILE), reference_rows(origin.bundle)
    graphs: Mapping[str, bytes] = {"variant": made.graph, "origin": before}
    told = {name: latencies(Graph(graph).probabilities, rows) for name, graph in graphs.items()}
    return {
        "origin": origin.version.reference,
        "note": made.note,
        "sizes_bytes": dict(made.sizes_bytes),
        "origin_size_bytes": len(before),
        "latency_onnxruntime_cpu": told,
        "engines_run_here": False,
    }
