"""A bundle's files, some of them changed, signed again: a bundle is exactly what was signed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modelway.bundle.bundle import MODEL_FILE, REQUIRED_FILES, Bundle, Content, write_bundle
from modelway.bundle.engines import ENGINES_FILE
from modelway.bundle.lineage import Lineage
from modelway.bundle.variant import VARIANT_FILE
from modelway.contract import Verdict
from modelway.errors import ParityError
from modelway.optimize.inspection import sane
from modelway.optimize.quantize import int8

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Changed:
    """A bundle whose graph is to be another one that answers alike."""

    bundle: Bundle
    graph: bytes
    verdict: Verdict
    """What it was held to."""

    def signed(self, folder: Path, key: Ed25519PrivateKey) -> Bundle:
        """Write it; engines, which were made from the old graph, are left out.

        Raises:
            StorageError: The disk is full or cannot be written.
        """
        return repacked(self.bundle, folder, key, graph=self.graph)


def in_int8(bundle: Bundle, X: Matrix, *, limit: float) -> Changed:
    """The bundle with its network's products in int8, if nobody who asks can tell.

    Args:
        bundle: Verified, of a network.
        X: Encoded real rows, shape (n, F), n >= 2; half of them set the scales, the others compare.
        limit: Largest allowed |probability difference|.

    Raises:
        ParityError: It answers differently, or not sanely.
        UnsupportedGraphError: The graph has no product to quantise.
        ConfigError: There are not two rows.
    """
    made = int8(bundle.read(MODEL_FILE), X, limit=limit, threshold=bundle.signature.threshold)
    verdict = made.parity & sane(made.content, X, bundle.signature)
    if not verdict.passed:
        raise ParityError(
            f"the graph in int8 answers differently: {verdict.summary()}",
            expected="the same probabilities within the limit, and the same decisions",
            remedy="serve the graph as it is, or raise --limit if the product can bear it",
        )
    return Changed(bundle, made.content, verdict)


def repacked(  # noqa: PLR0913 - a bundle has as many parts as it has
    bundle: Bundle,
    folder: Path,
    key: Ed25519PrivateKey,
    *,
    graph: bytes | None = None,
    extras: Mapping[str, Content] | None = None,
    reference: Content | None = None,
    card: str | None = None,
    lineage: Lineage | None = None,
) -> Bundle:
    """A new bundle: the old one's files but its engines, with these in their place or besides.

    That the old one was a variant of another is left out, too: the new one is none, unless `extras` says so.

    Args:
        bundle: Verified; stays as it is.
        folder: Where bundles lie.
        key: Signs the new one.
        graph: In place of the old one's.
        extras: Further files by name.
        reference: In place of the old drift reference.
        card: In place of the old card.
        lineage: In place of the old lineage.

    Raises:
        StorageError: The disk is full or cannot be written.
    """
    kept = [name for name in bundle.manifest.files if name not in REQUIRED_FILES and not _is_made(name)]
    return write_bundle(
        folder,
        onnx=bundle.read(MODEL_FILE) if graph is None else graph,
        signature=bundle.signature,
        reference=bundle.reference if reference is None else reference,
        slo=bundle.slo,
        card=bundle.card.read_text() if card is None else card,
        lineage=bundle.lineage if lineage is None else lineage,
        key=key,
        extras={**{name: bundle.read(name) for name in kept}, **(extras or {})},
    )


def _is_made(name: str) -> bool:
    """A file that says how this very bundle was made, or a compiled engine."""
    return name in {ENGINES_FILE, VARIANT_FILE} or (name.startswith("engine-") and name.endswith(".plan"))
