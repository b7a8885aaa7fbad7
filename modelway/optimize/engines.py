"""From a bundle to the engines that it carries."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modelway.bundle.bundle import MODEL_FILE, Bundle, Content
from modelway.bundle.canonical import canonical_json
from modelway.bundle.engines import ENGINES_FILE, EngineFingerprint, Engines, Precision, Profile
from modelway.contract import Verdict
from modelway.errors import ParityError
from modelway.optimize.engine_cache import EngineCache
from modelway.optimize.precision import Half, products_in
from modelway.optimize.quantize import int8
from modelway.optimize.repack import repacked
from modelway.optimize.same import Scorer, same_answers
from modelway.optimize.scoring import Graph
from modelway.optimize.tensorrt import build_engine, resolve_arch
from modelway.optimize.trees import tensor_form, tree_nodes

Matrix = npt.NDArray[np.float32]

BF16_ROWS = 200
"""ONNX's reference evaluator, the one thing on a CPU that computes in bfloat16, takes milliseconds a row."""


@dataclass(frozen=True)
class Network:
    """A graph that TensorRT can compile, and how its answers compare with the bundle's graph."""

    content: bytes
    precision: Precision
    note: str
    """What was done to the graph, in one line."""
    parity: Verdict


@dataclass(frozen=True)
class Engine:
    """A compiled engine."""

    fingerprint: EngineFingerprint
    plan: bytes
    note: str
    """Whether it was built or found."""


@dataclass(frozen=True)
class Targets:
    """What to compile for."""

    module: ModuleType
    archs: Sequence[str]
    precisions: Sequence[Precision]
    profile: Profile
    limit: float
    """Largest allowed |probability difference| of the rewritten graph."""


def make_engines(bundle: Bundle, X: Matrix, targets: Targets, cache: Path) -> list[Engine]:
    """Every precision for every architecture.

    Raises:
        ParityError: A precision changes the answers too much.
        UnsupportedGraphError: The graph has no such form, or TensorRT does not know an operator.
        EngineError: TensorRT built none.
        ConfigError: The module does not compile for an architecture.
        StorageError: The cache cannot be written.
    """
    content, threshold = bundle.read(MODEL_FILE), bundle.signature.threshold
    made = []
    for precision in targets.precisions:
        network = network_for(content, precision, X, limit=targets.limit, threshold=threshold)
        made += [make_engine(bundle, network, targets, arch, cache) for arch in targets.archs]
    return made


def network_for(
    content: bytes, precision: Precision, X: Matrix, *, limit: float, threshold: float
) -> Network:
    """Rewrite a graph for TensorRT: trees in tensor form, products in the precision.

    Args:
        content: The bundle's graph.
        precision: Of matrix products.
        X: Encoded real rows; calibrate int8, and compare every precision.
        limit: Largest allowed |probability difference| on them.
        threshold: Probability from which on a decision is positive.

    Raises:
        ParityError: The rewritten graph answers differently; the message says by how much.
        UnsupportedGraphError: The graph has no such form or precision.
    """
    trees = tensor_form(content) if tree_nodes(content) else None
    if trees is not None and not trees.parity.passed:
        raise _differs("tensor form", trees.parity)
    base, note = (
        (content, "as it is") if trees is None else (trees.content, f"{trees.form} form; {trees.why}")
    )
    changed = _in_precision(base, precision, X, limit)
    scorer: bytes | Scorer = changed if precision != "bf16" else _reference(changed)
    rows = X if precision != "bf16" else X[:BF16_ROWS]
    parity = same_answers(content, scorer, rows, limit=limit, threshold=threshold)
    if not parity.passed:
        raise _differs(precision, parity)
    return Network(changed, precision, note, parity)


def make_engine(bundle: Bundle, network: Network, targets: Targets, arch: str, cache: Path) -> Engine:
    """Compile a network of `network_for`, or find it compiled.

    Raises:
        EngineError: TensorRT built none.
        UnsupportedGraphError: TensorRT does not know an operator.
        ConfigError: The module does not compile for `arch`.
        StorageError: The cache cannot be written.
    """
    module, target = targets.module, resolve_arch(targets.module, arch)
    stored = EngineCache(cache)
    fingerprint = EngineFingerprint(
        module=module.__name__,
        version=module.__version__,
        arch=target,
        precision=network.precision,
        profile=targets.profile,
        graph_sha256=bundle.manifest.files[MODEL_FILE].sha256,
        network_sha256=hashlib.sha256(network.content).hexdigest(),
        limit=targets.limit,
    )
    built = stored.get(
        fingerprint,
        lambda: build_engine(network.content, module, target, targets.profile, stored.timing_cache),
    )
    return Engine(fingerprint, built.plan, built.note)


def with_engines(bundle: Bundle, engines: Sequence[Engine], folder: Path, key: Ed25519PrivateKey) -> Bundle:
    """A new bundle: the old one's files and these engines, signed again.

    A bundle is exactly what was signed, so engines cannot be laid beside one: they make another, with
    another digest. Engines that the old bundle carried are left out.

    Raises:
        StorageError: The disk is full or cannot be written.
    """
    return repacked(bundle, folder, key, extras=listed(engines))


def listed(engines: Sequence[Engine]) -> dict[str, Content]:
    """The files of engines in a bundle: each of them, and the list."""
    named = Engines(engines=tuple(engine.fingerprint for engine in engines))
    plans: dict[str, Content] = {engine.fingerprint.file: engine.plan for engine in engines}
    return plans | {ENGINES_FILE: canonical_json(named)}


def answers_of(network: Network) -> tuple[Scorer, int | None]:
    """What a network answers on a CPU, and how many rows may be asked of it; None: any number."""
    if network.precision == "bf16":
        return _reference(network.content), BF16_ROWS
    return Graph(network.content).probabilities, None


def _in_precision(base: bytes, precision: Precision, X: Matrix, limit: float) -> bytes:
    if precision == "fp32":
        return base
    if precision == "int8":
        return int8(base, X, limit=limit).content
    half: Half = precision
    return products_in(base, half)


def _reference(content: bytes) -> Scorer:
    import onnx  # noqa: PLC0415 - half a second that other precisions need not pay
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415 - as above

    evaluator = ReferenceEvaluator(onnx.load_from_string(content))
    return lambda X: np.asarray(evaluator.run(None, {"features": X})[0], np.float32)


def _differs(what: str, parity: Verdict) -> ParityError:
    return ParityError(
        f"the graph in {what} answers differently: {parity.summary()}",
        expected="the same probabilities within the limit, and the same decisions",
        remedy="take a wider precision, or raise --limit if the product can bear it",
    )
