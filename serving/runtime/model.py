"""A bundle's model: run on one row or many by what this machine has, its answers held to be probabilities."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from struct import Struct
from typing import Any

import numpy as np

from modelway.bundle.bundle import MODEL_FILE, Bundle
from modelway.bundle.manifest import rejected
from serving.runtime.engine import ROWS_AT_ONCE, choose
from serving.runtime.onnx_graph import OnnxGraph
from serving.runtime.parsed import Matrix, infinite
from serving.runtime.problems import InvalidOutputError, ModelFailureError

_SLACK = 1e-6
"""Float32 arithmetic may leave [0, 1] by this much without being wrong."""
_LOWEST, _HIGHEST = -_SLACK, 1 + _SLACK
_PROBED_ROWS = 32


@dataclass(frozen=True, slots=True)
class WarmUp:
    """What is known of the graph once it is warm."""

    one_row_us: float
    """Median of single rows, microseconds."""
    alike: bool
    """Whether it answers a row with the same bits alone and beside others."""


class Model:
    """One model on one core, or on a GPU; threads may share it."""

    __slots__ = (
        "_answers",
        "_buffer",
        "_lock",
        "_output",
        "_pack",
        "_run",
        "_run_rows",
        "platform",
        "why",
        "width",
    )

    platform: str
    """What computes: `onnxruntime`, `tensorrt_rtx` or `tensorrt`."""
    why: str
    """Why that and not another, in one line."""

    def __init__(self, bundle: Bundle) -> None:
        """Load the graph, and an engine in its stead where the bundle carries one that fits.

        Raises:
            BundleRejectedError: The graph cannot be loaded or does not take and give what the signature
                says, or the list of engines does not hold.
        """
        self.width = len(bundle.signature.inputs)
        graph = OnnxGraph(bundle.read(MODEL_FILE), self.width)
        backend, self.why = choose(bundle, graph)
        self.platform = backend.platform
        self._run, self._run_rows = backend.run, backend.run_rows
        self._buffer, self._output = backend.rows.reshape(-1).data.cast("B"), backend.output
        self._answers = [self._output[:count] for count in range(ROWS_AT_ONCE + 1)]
        self._pack = Struct(f"={self.width}f").pack
        self._lock = threading.Lock()

    def pack(self, values: Sequence[float]) -> bytes:
        """One row as float32 bytes, as the graph sees it.

        Args:
            values: Of length F, NaN for missing, not infinite.

        Raises:
            RequestError: A value is beyond the range of float32.
        """
        try:
            return self._pack(*values)
        except OverflowError as error:
            raise infinite() from error

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
        packed = self.pack(values)
        return self.row(packed), packed

    def row(self, packed: bytes) -> np.float32:
        """Score one row as `pack` makes it.

        Raises:
            ModelFailureError: The graph failed or gave no probability.
        """
        if not self._lock.acquire(blocking=False):  # the other thread scores rows: never wait for it
            return self._beside(packed, 1)[0]  # type: ignore[no-any-return]  # one element of float32
        try:
            self._buffer[: len(packed)] = packed
            self._run_rows(1)
            probability: np.float32 = self._output[0]
        finally:
            self._lock.release()
        if not _LOWEST <= float(probability) <= _HIGHEST:
            raise _no_probability(probability)
        return probability

    def rows(self, packed: Sequence[bytes]) -> Sequence[np.float32]:
        """Score single rows in one run.

        Args:
            packed: At least one, at most `ROWS_AT_ONCE`, each as `pack` makes it.

        Returns:
            The probability of each.

        Raises:
            ModelFailureError: The graph failed or gave no probability for a row.
        """
        together, count = b"".join(packed), len(packed)
        if not self._lock.acquire(blocking=False):  # as above
            return list(self._beside(together, count))
        try:
            self._buffer[: len(together)] = together
            self._run_rows(count)
            output = self._answers[count]
            numbers, found = output.tolist(), list(output)
        finally:
            self._lock.release()
        for at, number in enumerate(numbers):
            if not _LOWEST <= number <= _HIGHEST:
                raise _no_probability(found[at])
        return found

    def _beside(self, packed: bytes, count: int) -> Matrix:
        return self.many(np.frombuffer(packed, np.float32).reshape(count, -1))

    def many(self, matrix: Matrix) -> Matrix:
        """Score rows.

        Args:
            matrix: Float32 of shape (n, F), NaN for missing, not infinite.

        Returns:
            Float32 of shape (n,).

        Raises:
            ModelFailureError: The graph failed or gave no probability for a row.
        """
        output = self._run(matrix)
        if output.size != len(matrix):
            raise ModelFailureError(f"the graph gave {output.size} answers for {len(matrix)} rows")
        valid = (output >= -_SLACK) & (output <= 1 + _SLACK)
        if not valid.all():
            raise _no_probability(output[~valid.reshape(output.shape)].flat[0])
        return output.reshape(-1)

    def warm_up(self, rounds: int = 20) -> WarmUp:
        """Run both paths until first-run costs are paid, time a single row, look whether rows mix.

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
        return WarmUp(one_row_us=float(np.median(took_us)), alike=self._alike())

    def _alike(self) -> bool:
        """Whether rows drawn at random get the same bits alone and beside others, however many they are."""
        draw = np.random.default_rng(0)
        scale = 10.0 ** draw.integers(-2, 5, size=(_PROBED_ROWS, 1))
        rows = (draw.normal(size=(_PROBED_ROWS, self.width)) * scale).astype(np.float32)
        rows[::4] = np.abs(np.round(rows[::4]))  # codes of categories
        rows[1::3, draw.integers(self.width)] = np.nan
        try:
            alone = [self._bits(row) for row in rows]
            return len(set(alone)) > 1 and all(
                self._bits(rows[at : at + count]) == b"".join(alone[at : at + count])
                for count in range(2, ROWS_AT_ONCE + 1)
                for at in (0, _PROBED_ROWS - count)
            )
        except ModelFailureError:
            return False

    def _bits(self, rows: Matrix) -> bytes:
        """What the graph says of them, be it a probability or not."""
        with self._lock:
            self._buffer[: rows.nbytes] = rows.tobytes()
            count = rows.size // self.width
            self._run_rows(count)
            return self._output[:count].tobytes()

    def _tried(self, run: Any) -> None:
        try:
            run()
        except ModelFailureError as error:
            if error.__cause__ is not None:  # it raised; an odd answer to an artificial row is no reason
                raise rejected(MODEL_FILE, f"cannot be run: {error}") from error


def _no_probability(value: np.float32) -> InvalidOutputError:
    return InvalidOutputError(f"the graph gave {value}, which is no probability")
