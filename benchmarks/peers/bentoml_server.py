"""BentoML with the graph behind its own JSON: one worker, no access log, no metrics, no traces.

`python bentoml_server.py PORT MODEL` becomes `bentoml serve`.
"""

import os
import sys
from pathlib import Path

import bentoml
import numpy as np
import onnxruntime as ort

MODEL = "PEER_MODEL"


@bentoml.service(
    workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}}, traffic={"timeout": 60}
)
class Graph:
    """One graph, one thread."""

    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(os.environ[MODEL], options, providers=["CPUExecutionProvider"])

    @bentoml.api
    async def predict(self, features: list[list[float]]) -> dict[str, list[float]]:
        """Score the matrix; a coroutine, because BentoML would move a plain method to a thread."""
        rows = np.asarray(features, dtype=np.float32)
        return {"probability": self._session.run(["probability"], {"features": rows})[0].tolist()}


def main(port: str, model: str) -> None:
    """Become BentoML's server."""
    os.environ.update({MODEL: model, "BENTOML_DO_NOT_TRACK": "True"})
    here = Path(__file__)
    command = ["-m", "bentoml", "serve", f"{here.stem}:Graph", "--host", "127.0.0.1", "--port", port]
    os.execv(sys.executable, [sys.executable, *command, "--working-dir", str(here.parent)])  # noqa: S606 - our own command


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
