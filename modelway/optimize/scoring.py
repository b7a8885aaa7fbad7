"""Ask an exported graph for probabilities."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from modelway.bundle.signature import GRAPH_INPUT, GRAPH_OUTPUT
from modelway.errors import ParityError

OPTIMIZATION = "ORT_ENABLE_ALL"
"""Graph optimisation level: fuse and fold whatever ONNX Runtime can; the parity gate looks at the result."""
WARNING = 3
"""ONNX Runtime's log level: errors and worse."""


class Graph:
    """One graph in ONNX Runtime on the CPU."""

    def __init__(self, onnx: bytes | Path, threads: int = 1) -> None:
        """Load it.

        Raises:
            ParityError: The bytes are no graph that ONNX Runtime can run, or it has another in- or output.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, OPTIMIZATION)
        options.log_severity_level = WARNING
        try:
            content = onnx if isinstance(onnx, bytes) else onnx.read_bytes()
            self._session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own errors have no common base
            raise ParityError(
                f"no graph that can run: {str(error).splitlines()[0]}", remedy="export the model again"
            ) from error
        self._require_names()

    @property
    def features(self) -> int:
        """Columns of the matrix."""
        return int(self._session.get_inputs()[0].shape[1])

    def probabilities(self, X: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Shape (n,), from encoded rows of shape (n, F)."""
        answer: npt.NDArray[np.float32] = self._session.run([GRAPH_OUTPUT], {GRAPH_INPUT: X})[0]
        return answer

    def _require_names(self) -> None:
        inputs = [i.name for i in self._session.get_inputs()]
        outputs = [o.name for o in self._session.get_outputs()]
        if inputs != [GRAPH_INPUT] or outputs != [GRAPH_OUTPUT]:
            raise ParityError(
                f"the graph takes {inputs} and gives {outputs}",
                expected=f"{[GRAPH_INPUT]} and {[GRAPH_OUTPUT]}",
                remedy="export the model with modelway.optimize.export",
            )
