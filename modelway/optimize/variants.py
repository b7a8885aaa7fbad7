"""A registered model's bundle in another form, made by a recipe: the same recipe gives the same bytes."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from modelway.bundle.bundle import MODEL_FILE, Bundle, Content
from modelway.bundle.variant import EnginesFor, Int8
from modelway.contract import Verdict
from modelway.optimize.engines import Network, Targets, answers_of, listed, make_engine, network_for
from modelway.optimize.repack import in_int8
from modelway.optimize.same import Scorer
from modelway.optimize.scoring import Graph
from modelway.optimize.tensorrt import INSTALL, load_module

Matrix = npt.NDArray[np.float32]

_LIBRARIES = ("numpy", "onnx", "onnxruntime")
"""Those that can change a variant's bytes; TensorRT's own version stands in every engine's fingerprint."""


@dataclass(frozen=True)
class Answering:
    """One thing that may answer a request."""

    score: Scorer
    most_rows: int | None = None
    """It takes milliseconds a row: no more than so many are asked of it. None: any number."""


@dataclass(frozen=True)
class Made:
    """A variant before it is signed."""

    graph: bytes
    extras: Mapping[str, Content]
    answering: Mapping[str, Answering]
    """By name: the graph, and what each engine was compiled from, which is what it computes."""
    held: Mapping[str, Verdict]
    """What each was held to on the origin's drift reference."""
    note: str
    """What was done, in one line."""
    sizes_bytes: Mapping[str, int]


def reference_rows(bundle: Bundle) -> Matrix:
    """The drift reference's encoded rows, shape (n, F)."""
    frame = pl.read_parquet(bundle.reference, columns=list(bundle.signature.names))
    return frame.to_numpy().astype("float32", order="C")


def make(origin: Bundle, recipe: Int8 | EnginesFor, cache: Path) -> Made:
    """Make the variant. Scales and parity come from the origin's drift reference, which lies in it.

    Args:
        origin: Verified.
        recipe: What to make.
        cache: Folder of compiled engines.

    Raises:
        ParityError: It answers differently; the message says by how much.
        UnsupportedGraphError: The graph has no such form, or TensorRT does not know an operator.
        EngineError: TensorRT is missing, or built none.
        ConfigError: The module does not compile for an architecture.
    """
    if isinstance(recipe, Int8):
        return _int8(origin, recipe)
    return _engines(origin, recipe, cache)


def libraries(recipe: Int8 | EnginesFor) -> dict[str, str]:
    """Versions of what makes such a variant here, by distribution name; what is missing is left out."""
    found = {name: number for name in _LIBRARIES if (number := _version(name))}
    if isinstance(recipe, EnginesFor) and recipe.module in INSTALL:
        found[recipe.module] = load_module(recipe.module).__version__
    return found


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _int8(origin: Bundle, recipe: Int8) -> Made:
    made = in_int8(origin, reference_rows(origin), limit=recipe.limit)
    return Made(
        graph=made.graph,
        extras={},
        answering={"int8": Answering(Graph(made.graph).probabilities)},
        held={"int8": made.verdict},
        note="matrix products in int8, scales from every other row of the drift reference",
        sizes_bytes={MODEL_FILE: len(made.graph)},
    )


def _engines(origin: Bundle, recipe: EnginesFor, cache: Path) -> Made:
    content, rows = origin.read(MODEL_FILE), reference_rows(origin)
    module = load_module(recipe.module)
    targets = Targets(module, recipe.archs, recipe.precisions, recipe.profile, recipe.limit)
    threshold = origin.signature.threshold
    networks = [
        network_for(content, precision, rows, limit=recipe.limit, threshold=threshold)
        for precision in recipe.precisions
    ]
    engines = [
        make_engine(origin, network, targets, arch, cache) for network in networks for arch in recipe.archs
    ]
    return Made(
        graph=content,
        extras=listed(engines),
        answering={"graph": Answering(Graph(content).probabilities)} | _computed(networks),
        held={network.precision: network.parity for network in networks},
        note="; ".join(f"{each.precision}: {each.note}" for each in networks),
        sizes_bytes={MODEL_FILE: len(content)} | {e.fingerprint.file: len(e.plan) for e in engines},
    )


def _computed(networks: list[Network]) -> dict[str, Answering]:
    return {network.precision: Answering(*answers_of(network)) for network in networks}


def sha256(graph: bytes) -> str:
    """Identity of a graph by content."""
    return hashlib.sha256(graph).hexdigest()
