"""A compiled engine on the GPU, through `tensorrt_rtx` or `tensorrt`: the same calls in both."""

import threading
import weakref
from typing import Any

import numpy as np

from modelway.bundle.engines import EngineFingerprint
from modelway.bundle.signature import GRAPH_INPUT, GRAPH_OUTPUT
from modelway.errors import EngineError
from modelway.optimize.cuda import Device
from modelway.optimize.tensorrt import load_module
from serving.runtime.engine import ROWS_AT_ONCE
from serving.runtime.parsed import Matrix
from serving.runtime.problems import ModelFailureError


class TensorRtEngine:
    """One execution context, one stream, buffers for the profile's most rows. Threads take turns."""

    def __init__(self, about: EngineFingerprint, plan: bytes, width: int) -> None:
        """Load it onto the first GPU.

        Raises:
            EngineError: No module, no GPU, or TensorRT does not load the plan.
        """
        self.platform: str = about.module
        module = load_module(about.module)
        self._device, self._lock, self._max_rows = Device(), threading.Lock(), about.profile.max_rows
        # The runtime and the engine must outlive the context, so they are kept.
        self._runtime = module.Runtime(module.Logger(module.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        self._context = None if self._engine is None else self._engine.create_execution_context()
        if self._context is None:
            raise EngineError(f"{about.module} {about.version} does not load {about.file}")
        self.rows = np.zeros((ROWS_AT_ONCE, width), np.float32)
        self.output = np.zeros(ROWS_AT_ONCE, np.float32)
        self._input = self._device.allocate(self._max_rows * width * self.rows.itemsize)
        self._answers = self._device.allocate(self._max_rows * self.output.itemsize)
        self._bind(self._context)
        freed = weakref.finalize(self, self._device.release, (self._input, self._answers))
        freed.atexit = False  # the driver frees a process's memory itself, and may be gone by then

    def run(self, matrix: Matrix) -> Matrix:
        """Answers for float32 rows (n, F), as many calls as the profile's most rows ask for.

        Raises:
            ModelFailureError: The GPU failed.
        """
        rows, output = np.ascontiguousarray(matrix, np.float32), np.empty(len(matrix), np.float32)
        self._in_parts(rows, output)
        return output

    def run_rows(self, count: int) -> None:
        """Score the first of `rows` into `output`.

        Raises:
            ModelFailureError: The GPU failed.
        """
        self._in_parts(self.rows[:count], self.output[:count])

    def _in_parts(self, rows: Matrix, output: Matrix) -> None:
        for start in range(0, len(rows), self._max_rows):
            part = slice(start, start + self._max_rows)
            self._score(rows[part], output[part])

    def _score(self, rows: Matrix, output: Matrix) -> None:
        try:
            with self._lock:
                self._device.enter()
                self._device.to_device(self._input, rows)
                self._launch(rows.shape)
                self._device.to_host(output, self._answers)
        except EngineError as error:
            raise ModelFailureError(f"the engine failed: {error.found}") from error

    def _launch(self, shape: tuple[int, ...]) -> None:
        context: Any = self._context
        if not context.set_input_shape(GRAPH_INPUT, shape):
            raise EngineError(f"the engine takes no rows of shape {shape}")
        if not context.execute_async_v3(self._device.stream):
            raise EngineError("TensorRT did not start the engine")

    def _bind(self, context: Any) -> None:
        names = {self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)}
        if names != {GRAPH_INPUT, GRAPH_OUTPUT}:
            raise EngineError(f"the engine takes and gives {sorted(names)}")
        context.set_tensor_address(GRAPH_INPUT, self._input)
        context.set_tensor_address(GRAPH_OUTPUT, self._answers)
