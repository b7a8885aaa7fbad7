"""Which backend serves a bundle here: a compiled engine where all of it fits, else ONNX Runtime, and why."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from modelway.bundle.bundle import REFERENCE_FILE, Bundle
from modelway.bundle.engines import EngineFingerprint, engines_of
from modelway.errors import EngineError
from serving.runtime.parsed import Matrix

if TYPE_CHECKING:
    from modelway.optimize.cuda import Gpu
    from serving.runtime.onnx_graph import OnnxGraph

ROWS_AT_ONCE = 16
"""Single rows that may be put side by side for one run."""
COMPARED_ROWS = 256
"""Rows of the drift reference that an engine must answer like the graph before it may serve."""


class Backend(Protocol):
    """What computes."""

    platform: str
    rows: Matrix
    """float32 (`ROWS_AT_ONCE`, F): where single rows are put."""
    output: Matrix
    """float32 (`ROWS_AT_ONCE`,): where their answers appear."""

    def run(self, matrix: Matrix) -> Matrix:
        """Answers for float32 rows (n, F). Any thread."""
        ...

    def run_rows(self, count: int) -> None:
        """Score the first of `rows` into `output`. One thread at a time."""
        ...


def choose(bundle: Bundle, graph: "OnnxGraph") -> tuple[Backend, str]:
    """The backend for this machine, and the reason in one line.

    An engine serves when its module is importable in its very version, a GPU of its architecture is
    visible, it loads, and it answers rows of the drift reference like the graph. Else the graph does.

    Raises:
        BundleRejectedError: The list of engines, or one that fits, is not what was signed.
    """
    listed = engines_of(bundle)
    if not listed:
        return graph, "the bundle carries no engine"
    try:
        return _engine(bundle, listed, graph)
    except EngineError as error:
        return graph, f"{_counted(listed)} not used: {error.found}"


def _counted(listed: Sequence[EngineFingerprint]) -> str:
    return "1 engine of the bundle is" if len(listed) == 1 else f"{len(listed)} engines of the bundle are"


def _engine(bundle: Bundle, listed: Sequence[EngineFingerprint], graph: "OnnxGraph") -> tuple[Backend, str]:
    from modelway.optimize.cuda import gpu  # noqa: PLC0415 - most bundles carry no engine
    from serving.runtime.tensorrt_engine import TensorRtEngine  # noqa: PLC0415 - as above

    present = gpu()
    fitting = fit(listed, present, version_of)
    engine = TensorRtEngine(fitting, bundle.read(fitting.file), len(bundle.signature.inputs))
    gap = largest_gap(graph.run, engine.run, reference_rows(bundle), fitting.limit)
    return engine, (
        f"{fitting.file}: {fitting.module} {fitting.version} on {present.name} ({present.arch}), "
        f"{fitting.precision}; differs from the graph by at most {gap:.2g}"
    )


class _VersionOf(Protocol):
    def __call__(self, module: str) -> str:
        """Version of an installed module; EngineError when there is none."""
        ...


def fit(listed: Sequence[EngineFingerprint], present: "Gpu", version: _VersionOf) -> EngineFingerprint:
    """The first engine that was made for this GPU by what is installed.

    Raises:
        EngineError: None was; the message names what was wanted and what is here.
    """
    for_this = [engine for engine in listed if engine.arch == present.arch]
    if not for_this:
        archs = ", ".join(sorted({engine.arch for engine in listed}))
        raise EngineError(f"they are for {archs}, this GPU ({present.name}) is {present.arch}")
    wrong = []
    for engine in for_this:
        try:
            found = version(engine.module)
        except EngineError as error:
            wrong.append(error.found)
            continue
        if found == engine.version:
            return engine
        wrong.append(f"{engine.file} was built by {engine.module} {engine.version}, installed is {found}")
    raise EngineError("; ".join(dict.fromkeys(wrong)))


def version_of(module: str) -> str:
    """Version of `tensorrt_rtx` or `tensorrt`.

    Raises:
        EngineError: It cannot be imported.
    """
    from modelway.optimize.tensorrt import load_module  # noqa: PLC0415 - most bundles carry no engine

    return str(load_module("tensorrt_rtx" if module == "tensorrt_rtx" else "tensorrt").__version__)


def reference_rows(bundle: Bundle) -> Matrix:
    """The first rows of the drift reference, and the last of them once more with nothing known.

    Raises:
        EngineError: It holds no such rows: nothing to compare an engine on.
    """
    import pyarrow as pa  # noqa: PLC0415 - most bundles carry no engine
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    try:
        table = pq.read_table(
            pa.BufferReader(bundle.read(REFERENCE_FILE)), columns=list(bundle.signature.names)
        )
    except (pa.ArrowException, OSError) as error:
        raise EngineError(f"{REFERENCE_FILE} cannot be read to compare on: {error}") from error
    columns = [np.asarray(column, np.float32) for column in table.slice(0, COMPARED_ROWS).itercolumns()]
    if len(columns) != len(bundle.signature.names) or not len(columns[0]):
        raise EngineError(f"{REFERENCE_FILE} holds no rows to compare on")
    rows = np.column_stack(columns)
    return np.ascontiguousarray(np.vstack([rows, np.full_like(rows[:1], np.nan)]))


class _Run(Protocol):
    def __call__(self, matrix: Matrix) -> Matrix:
        """Answers for rows (n, F)."""
        ...


def largest_gap(graph: _Run, engine: _Run, rows: Matrix, limit: float) -> float:
    """How far the engine's answers are from the graph's.

    Raises:
        EngineError: Further than `limit`, or no number.
    """
    gap = float(np.abs(graph(rows).reshape(-1) - engine(rows).reshape(-1)).max())
    if not gap <= limit:
        raise EngineError(f"the engine's answers differ from the graph's by {gap:.2g}, limit {limit:g}")
    return gap
