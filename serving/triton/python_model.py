"""What Triton's Python backend runs: the graph in ONNX Runtime, on the CPU.

Copied into a model repository as `model.py`. For servers that carry no ONNX Runtime backend, such as
the one inside `nvidia-pytriton`; its interpreter needs numpy and onnxruntime, and nothing of ours.
"""

from pathlib import Path
from typing import Any

import numpy as np


class TritonPythonModel:
    """Triton makes one per instance and calls it from one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load `model.onnx`, which lies beside this file."""
        import onnxruntime as ort  # noqa: PLC0415 - the interpreter is Triton's

        options = ort.SessionOptions()
        options.intra_op_num_threads = 1  # instances are how Triton uses cores
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Score all requests that Triton batched in one call, and give each its own rows."""
        import triton_python_backend_utils as triton  # noqa: PLC0415 - exists inside Triton alone

        given = [triton.get_input_tensor_by_name(r, "features").as_numpy() for r in requests]
        (answers,) = self._session.run(["probability"], {"features": np.concatenate(given)})
        ends = np.cumsum([len(rows) for rows in given])[:-1]
        parts = np.split(answers.reshape(-1, 1), ends)
        return [triton.InferenceResponse([triton.Tensor("probability", part)]) for part in parts]
