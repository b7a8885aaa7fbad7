"""Each way to run a graph: does it answer the same, how fast is it here, and which one to take."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modelway.bundle.bundle import MODEL_FILE, Bundle
from modelway.bundle.engines import Precision, Profile
from modelway.contract import Gates, Verdict
from modelway.errors import EngineError, ParityError, UnsupportedGraphError
from modelway.optimize.engines import Targets, make_engine, network_for
from modelway.optimize.quantize import int8
from modelway.optimize.same import same_answers
from modelway.optimize.scoring import OPTIMIZATION, Graph
from modelway.optimize.tensorrt import load_module
from modelway.optimize.trees import Form, tensor_form

Matrix = npt.NDArray[np.float32]

BATCHES = (1, 16, 256, 4096)
MEASURED_S = 0.3
"""How long each batch size is repeated."""
WORTH_CHANGING = 0.95
"""Another variant is taken when its median for one row is below this share of the graph's."""
INT8 = "onnx-int8"
MAX_PROBABILITY_GAP: float = Gates.model_fields["max_parity_error"].default


@dataclass(frozen=True)
class Variant:
    """One way to run the graph."""

    name: str
    outcome: str
    """`pass`, `fail`, `inconclusive`, `refused`: only `pass` may be served."""
    note: str
    """What it is, or why it was refused, in one line."""
    size_bytes: int = 0
    latency: Sequence[Mapping[str, float]] = ()
    """By batch size; empty where it cannot run on this machine."""
    only_compiled: bool = False
    """It is what a compiler for GPUs takes, timed for information: no server runs it as it is."""

    def p50_us(self, rows: int) -> float | None:
        """Median of a call with so many rows, microseconds."""
        return next((each["p50_us"] for each in self.latency if each["rows"] == rows), None)


@dataclass(frozen=True)
class Comparison:
    """All variants of one bundle's graph, measured in one go."""

    digest: str
    graph_optimization: str
    limit: float
    rows: int
    variants: Sequence[Variant]
    chosen: str = field(init=False)
    why: str = field(init=False)

    def __post_init__(self) -> None:
        chosen, why = choose(self.variants)
        object.__setattr__(self, "chosen", chosen)
        object.__setattr__(self, "why", why)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """What to compare beyond ONNX Runtime's variants."""

    limit: float = MAX_PROBABILITY_GAP
    """Largest allowed |probability difference|."""
    archs: Sequence[str] = ()
    """GPU architectures to compile for; none by default."""
    precisions: Sequence[Precision] = ("fp32", "fp16")
    profile: Profile = field(default_factory=Profile)


def compare(bundle: Bundle, X: Matrix, plan: Plan, cache: Path) -> Comparison:
    """Make every variant of a bundle's graph, hold it to parity, and time what runs here.

    Args:
        bundle: Verified.
        X: Encoded real rows, shape (n, F), n >= 2.
        plan: Limits and targets.
        cache: Folder of compiled engines.

    Raises:
        ConfigError: An architecture that the module does not compile for.
    """
    content, threshold = bundle.read(MODEL_FILE), bundle.signature.threshold
    variants = [
        _tried("onnx", lambda: _as_it_is(content, X)),
        _tried(INT8, lambda: _int8(content, X, plan.limit, threshold)),
        *(_tried(f"tensor-{form}", partial(_tensor, content, form, X, plan.limit)) for form in _FORMS),
        *_engines(bundle, X, plan, cache),
    ]
    return Comparison(bundle.digest, OPTIMIZATION, plan.limit, len(X), variants)


_FORMS: tuple[Form, ...] = ("gemm", "traversal")


def choose(variants: Sequence[Variant]) -> tuple[str, str]:
    """The variant to serve here, and why: proven, clearly the fastest for one row, in no batch slower."""
    able = [v for v in variants if v.outcome == "pass" and v.p50_us(1) is not None and not v.only_compiled]
    if not able:
        return "none", "no variant both passes parity and runs here"
    first = able[0]
    fastest = min((v for v in able if _slowest_share(v, first) <= 1), key=lambda v: v.p50_us(1) or np.inf)
    share = _share(fastest, first, 1)
    if share < WORTH_CHANGING:
        return fastest.name, f"passes, and takes {share:.2f} of {first.name}'s time for one row"
    clear = f"less than {WORTH_CHANGING} of its time for one row here"
    return first.name, f"no variant that passes takes {clear}, and for no batch more"


def _slowest_share(variant: Variant, first: Variant) -> float:
    """Of the graph's time, in the batch size in which the variant does worst."""
    return max(_share(variant, first, int(each["rows"])) for each in first.latency)


def _share(variant: Variant, first: Variant, rows: int) -> float:
    return (variant.p50_us(rows) or np.inf) / (first.p50_us(rows) or np.inf)


def latencies(score: Callable[[Matrix], Any], X: Matrix) -> list[dict[str, float]]:
    """p50 and p99 of a call, for each of `BATCHES`, rows repeated as needed, one thread."""
    return [_latency(score, np.ascontiguousarray(np.resize(X, (rows, X.shape[1])))) for rows in BATCHES]


def _latency(score: Callable[[Matrix], Any], X: Matrix) -> dict[str, float]:
    score(X)
    took_us: list[float] = []
    end = time.perf_counter() + MEASURED_S
    while time.perf_counter() < end:
        start_ns = time.perf_counter_ns()
        score(X)
        took_us.append((time.perf_counter_ns() - start_ns) / 1000)
    p50, p99 = (round(float(q), 1) for q in np.percentile(took_us, [50, 99], method="inverted_cdf"))
    return {
        "rows": len(X),
        "p50_us": p50,
        "p99_us": p99,
        "rows_per_s": round(len(X) / p50 * 1e6),
        "calls": len(took_us),
    }


def _tried(name: str, make: Callable[[], Variant]) -> Variant:
    try:
        return make()
    except (UnsupportedGraphError, EngineError, ParityError) as error:
        return Variant(name, "refused", "; way out: ".join(filter(None, (error.found, error.remedy))))


def _as_it_is(content: bytes, X: Matrix) -> Variant:
    verdict = same_answers(content, content, X, limit=0)
    return _measured("onnx", content, verdict, "the bundle's graph", X)


def _int8(content: bytes, X: Matrix, limit: float, threshold: float) -> Variant:
    made = int8(content, X, limit=limit, threshold=threshold)
    return _measured(INT8, made.content, made.parity, f"{made.calibration_rows} calibration rows", X)


def _tensor(content: bytes, form: Form, X: Matrix, limit: float) -> Variant:
    made = tensor_form(content, form)
    verdict = made.parity & same_answers(content, made.content, X, limit=limit)
    timed = _measured(f"tensor-{form}", made.content, verdict, made.why, X)
    return replace(timed, only_compiled=True)


def _measured(name: str, content: bytes, verdict: Verdict, note: str, X: Matrix) -> Variant:
    timed = latencies(Graph(content).probabilities, X)
    return Variant(name, verdict.outcome.value, f"{note}; {verdict.summary()}", len(content), timed)


def _engines(bundle: Bundle, X: Matrix, plan: Plan, cache: Path) -> list[Variant]:
    pairs = [(arch, precision) for arch in plan.archs for precision in plan.precisions]
    return [_tried("-".join(pair), partial(_engine, bundle, X, plan, cache, pair)) for pair in pairs]


def _engine(bundle: Bundle, X: Matrix, plan: Plan, cache: Path, target: tuple[str, Precision]) -> Variant:
    arch, precision = target
    targets = Targets(load_module("tensorrt_rtx"), (arch,), (precision,), plan.profile, plan.limit)
    content, threshold = bundle.read(MODEL_FILE), bundle.signature.threshold
    network = network_for(content, precision, X, limit=plan.limit, threshold=threshold)
    made = make_engine(bundle, network, targets, arch, cache)
    note = (
        f"{network.note}; {made.note}; not run here: a server compares it with the graph before it serves it"
    )
    return Variant(f"{arch}-{precision}", network.parity.outcome.value, note, len(made.plan))


def markdown(found: Comparison) -> str:
    """The comparison as a page."""
    lines = [
        f"# Variants of {found.digest[:12]}",
        "",
        f"Take **{found.chosen}**: {found.why}.",
        "",
        f"Parity on {found.rows} rows, limit {found.limit:g} in probability.",
        f"ONNX Runtime, one thread, graph optimisation {found.graph_optimization}.",
        "Times are microseconds a call on this machine.",
        "",
        "| variant | parity | KiB | "
        + " | ".join(f"{rows} rows p50 / p99" for rows in BATCHES)
        + " | note |",
        "|---|---|---:|" + "---:|" * len(BATCHES) + "---|",
        *(_line(variant) for variant in found.variants),
    ]
    return "\n".join(lines) + "\n"


def _line(variant: Variant) -> str:
    timed = {int(each["rows"]): f"{each['p50_us']:g} / {each['p99_us']:g}" for each in variant.latency}
    cells = [timed.get(rows, "-") for rows in BATCHES]
    note = variant.note.replace("|", "/").replace("\n", " ")
    size = f"{variant.size_bytes / 1024:.0f}" if variant.size_bytes else "-"
    return f"| {variant.name} | {variant.outcome} | {size} | {' | '.join(cells)} | {note} |"
