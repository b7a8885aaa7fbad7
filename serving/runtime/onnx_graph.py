"""The bundle's graph in ONNX Runtime on one core: what every machine can run."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnxruntime as ort

from modelway.bundle.bundle import MODEL_FILE
from modelway.bundle.manifest import rejected
from modelway.bundle.signature import GRAPH_INPUT, GRAPH_OUTPUT
from serving.runtime.engine import ROWS_AT_ONCE
from serving.runtime.parsed import Matrix
from serving.runtime.problems import ModelFailureError

PROVIDERS = ["CPUExecutionProvider"]


class OnnxGraph:
    """One session; threads may share `run`, but only one at a time may use the rows."""

    platform = "onnxruntime"

    def __init__(self, content: bytes, width: int) -> None:
        """Load it.

        Args:
            content: The verified graph.
            width: Columns that the signature names.

        Raises:
            BundleRejectedError: It cannot be loaded or does not take and give what the signature says.
        """
        self._session = _session(content)
        _check_graph(self._session, width)
        self.rows = np.zeros((ROWS_AT_ONCE, width), np.float32)
        self.output = np.zeros(ROWS_AT_ONCE, np.float32)
        self._runs = _runs(self._session, self.rows, self.output)

    def run(self, matrix: Matrix) -> Matrix:
        """Answers for float32 rows (n, F).

        Raises:
            ModelFailureError: The graph failed.
        """
        try:
            return np.asarray(self._session.run([GRAPH_OUTPUT], {GRAPH_INPUT: matrix})[0], dtype=np.float32)
        except Exception as error:  # ONNX Runtime's exceptions share no base but this one
            raise ModelFailureError(f"the graph failed: {error}") from error

    def run_rows(self, count: int) -> None:
        """Score the first of `rows` into `output`.

        Raises:
            ModelFailureError: The graph failed.
        """
        try:
            self._runs[count - 1]()
        except Exception as error:  # as above
            raise ModelFailureError(f"the graph failed: {error}") from error


def _session(graph: bytes) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # one core a process; a pool's hand-over costs more than a row
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(graph, options, providers=PROVIDERS)
    except Exception as error:  # ONNX Runtime's exceptions share no base but this one
        raise rejected(MODEL_FILE, f"cannot be loaded: {error}") from error
    if session.get_providers() != PROVIDERS:  # it would replace one it does not have, with a warning at most
        raise rejected(MODEL_FILE, f"would run on {session.get_providers()}, not on {PROVIDERS}")
    return session


def _check_graph(session: Any, width: int) -> None:
    inputs = {node.name: node for node in session.get_inputs()}
    outputs = {node.name: node for node in session.get_outputs()}
    if set(inputs) != {GRAPH_INPUT} or inputs[GRAPH_INPUT].type != "tensor(float)":
        raise rejected(MODEL_FILE, f"must take one float input {GRAPH_INPUT!r}, takes {sorted(inputs)}")
    shape = inputs[GRAPH_INPUT].shape
    fixed = isinstance(shape[0], int) if shape else True
    if len(shape) != 2 or fixed or (isinstance(shape[1], int) and shape[1] != width):  # noqa: PLR2004 - a matrix
        raise rejected(MODEL_FILE, f"must take shape [rows, {width}], takes {shape}")
    if GRAPH_OUTPUT not in outputs or outputs[GRAPH_OUTPUT].type != "tensor(float)":
        raise rejected(MODEL_FILE, f"must give a float output {GRAPH_OUTPUT!r}, gives {sorted(outputs)}")


def _runs(session: Any, rows: Matrix, output: Matrix) -> list[Callable[[], None]]:
    """What runs the graph on the first row, the first two, and so on: 3 µs less than feeding and fetching."""
    beyond = _answer_shape(session, rows[:1])[1:]
    counts = range(1, len(rows) + 1)
    return [_runner(session, _bound(session, rows[:n], output[:n].reshape(n, *beyond))) for n in counts]


def _bound(session: Any, rows: Matrix, output: Matrix) -> Any:
    """Tie the graph to two arrays of ours."""
    binding = session.io_binding()
    binding.bind_ortvalue_input(GRAPH_INPUT, ort.OrtValue.ortvalue_from_numpy(rows))
    binding.bind_ortvalue_output(GRAPH_OUTPUT, ort.OrtValue.ortvalue_from_numpy(output))
    return binding


def _runner(session: Any, binding: Any) -> Callable[[], None]:
    """Run the bound graph without what the public method looks up each time for captures on other devices.

    Options that are handed over are not made anew for each run: 0.7 µs.
    """
    inner, bound = getattr(session, "_sess", None), getattr(binding, "_iobinding", None)
    if inner is None or bound is None:
        return partial(session.run_with_iobinding, binding)

    options = ort.RunOptions()

    def run(_kept: Any = (session, binding)) -> None:
        inner.run_with_iobinding(bound, options)

    return run


def _answer_shape(session: Any, row: Matrix) -> tuple[int, ...]:
    """Shape of the answer to one row: (1,), or (1, 1) from some converters."""
    try:
        answer = np.asarray(session.run([GRAPH_OUTPUT], {GRAPH_INPUT: row})[0])
    except Exception as error:  # as above
        raise rejected(MODEL_FILE, f"cannot be run: {error}") from error
    if answer.size != 1:
        raise rejected(MODEL_FILE, f"gives {answer.size} answers for 1 row")
    return answer.shape
