"""The graph: loaded from a verified bundle, run on one row or many, its answers held to be probabilities."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from struct import Struct
from typing import Any

import numpy as np
import onnxruntime as ort

from modelway.bundle.bundle import MODEL_FILE, Bundle
from modelway.bundle.manifest import rejected
from modelway.bundle.signature import GRAPH_INPUT, GRAPH_OUTPUT
from serving.runtime.parsed import Matrix, infinite
from serving.runtime.problems import InvalidOutputError, ModelFailureError

_SLACK = 1e-6
"""Float32 arithmetic may leave [0, 1] by this much without being wrong."""


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How long the graph takes once it is warm."""

    one_row_us: float
    """Median of single rows, microseconds."""


class Model:
    """One ONNX Runtime session on one core; threads may share it."""

    __slots__ = ("_binding", "_buffer", "_lock", "_output", "_pack", "_session", "width")

    def __init__(self, bundle: Bundle) -> None:
        """Load the graph.

        Raises:
            BundleRejectedError: The graph cannot be loaded or does not take and give what the signature says.
        """
        self.width = len(bundle.signature.inputs)
        self._session = _session(bundle.read(MODEL_FILE))
        _check_graph(self._session, self.width)
        row, self._output = np.zeros((1, self.width), np.float32), np.zeros(1, np.float32)
        self._buffer = row.reshape(-1).data.cast("B")
        self._pack = Struct(f"={self.width}f").pack
        self._binding = _bound(self._session, row, self._output)
        self._lock = threading.Lock()

    def one(self, values: Sequence[float]) -> tuple[np.float32, bytes]:
        """Score one row.

        Args:
            values: Of length F, NaN for missing, not infinite.

        Returns:
            Its probability, and the row as float32 bytes, as the graph saw it.

        Raises:
            RequestError: A value is beyond the range of float32.
            ModelFailureError: The graph failed or gave no probability.
        """
        try:
            packed = self._pack(*values)
        except OverflowError as error:
            raise infinite() from error
        if not self._lock.acquire(blocking=False):  # the other thread scores a row: never wait for it
            return self.many(np.frombuffer(packed, np.float32).reshape(1, -1))[0], packed
        try:
            self._buffer[:] = packed
            self._run_bound()
            probability: np.float32 = self._output[0]
        finally:
            self._lock.release()
        if not -_SLACK <= probability <= 1 + _SLACK:
            raise _no_probability(probability)
        return probability, packed

    def many(self, matrix: Matrix) -> Matrix:
        """Score rows.

        Args:
            matrix: Float32 of shape (n, F), NaN for missing, not infinite.

        Returns:
            Float32 of shape (n,).

        Raises:
            ModelFailureError: The graph failed or gave no probability for a row.
        """
        try:
            output = np.asarray(self._session.run([GRAPH_OUTPUT], {GRAPH_INPUT: matrix})[0], dtype=np.float32)
        except Exception as error:  # ONNX Runtime's exceptions share no base but this one
            raise ModelFailureError(f"the graph failed: {error}") from error
        if output.size != len(matrix):
            raise ModelFailureError(f"the graph gave {output.size} answers for {len(matrix)} rows")
        valid = (output >= -_SLACK) & (output <= 1 + _SLACK)
        if not valid.all():
            raise _no_probability(output[~valid.reshape(output.shape)].flat[0])
        return output.reshape(-1)

    def warm_up(self, rounds: int = 20) -> WarmUp:
        """Run both paths until first-run costs are paid, and time a single row.

        Raises:
            BundleRejectedError: The graph cannot be run at all.
        """
        took_us = []
        for _ in range(rounds):
            start_ns = time.perf_counter_ns()
            self._tried(partial(self.one, [0.0] * self.width))
            took_us.append((time.perf_counter_ns() - start_ns) / 1000)
        for rows in (1, 8):
            matrix = np.zeros((rows, self.width), np.float32)
            self._tried(partial(self.many, matrix))
        return WarmUp(one_row_us=float(np.median(took_us)))

    def _tried(self, run: Any) -> None:
        try:
            run()
        except ModelFailureError as error:
            if error.__cause__ is not None:  # it raised; an odd answer to an artificial row is no reason
                raise rejected(MODEL_FILE, f"cannot be run: {error}") from error

    def _run_bound(self) -> None:
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:  # as above
            raise ModelFailureError(f"the graph failed: {error}") from error


def _session(graph: bytes) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # one core a process; a pool's hand-over costs more than a row
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no base but this one
        raise rejected(MODEL_FILE, f"cannot be loaded: {error}") from error


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


def _bound(session: Any, row: Matrix, output: Matrix) -> Any:
    """Tie the graph to two arrays of ours: 3 µs less a row than feeding and fetching."""
    binding = session.io_binding()
    binding.bind_ortvalue_input(GRAPH_INPUT, ort.OrtValue.ortvalue_from_numpy(row))
    shape = _answer_shape(session, row)
    binding.bind_ortvalue_output(GRAPH_OUTPUT, ort.OrtValue.ortvalue_from_numpy(output.reshape(shape)))
    return binding


def _answer_shape(session: Any, row: Matrix) -> tuple[int, ...]:
    """Shape of the answer to one row: (1,), or (1, 1) from some converters."""
    try:
        answer = np.asarray(session.run([GRAPH_OUTPUT], {GRAPH_INPUT: row})[0])
    except Exception as error:  # as above
        raise rejected(MODEL_FILE, f"cannot be run: {error}") from error
    if answer.size != 1:
        raise rejected(MODEL_FILE, f"gives {answer.size} answers for 1 row")
    return answer.shape


def _no_probability(value: np.float32) -> InvalidOutputError:
    return InvalidOutputError(f"the graph gave {value}, which is no probability")
