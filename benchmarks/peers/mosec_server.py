"""mosec with the graph behind JSON: one worker process, errors only in its log.

`python mosec_server.py PORT MODEL [LARGEST_BATCH]`. With a batch of 1 each row crosses to the worker alone;
with more, mosec gathers what waits, at most 1 ms, and the rows cross and are scored together.
"""

import os
import sys
from typing import Any

import numpy as np
import onnxruntime as ort
from mosec import Server, Worker

MODEL = "PEER_MODEL"


class Graph(Worker):
    """One graph, one thread."""

    def __init__(self) -> None:
        super().__init__()
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(os.environ[MODEL], options, providers=["CPUExecutionProvider"])

    def forward(self, data: dict[str, Any]) -> dict[str, list[float]]:
        """Score the matrix."""
        return {"probability": self._probability(data["features"])}

    def _probability(self, features: list[list[float]]) -> list[float]:
        rows = np.asarray(features, dtype=np.float32)
        probability: list[float] = self._session.run(["probability"], {"features": rows})[0].ravel().tolist()
        return probability


class Batched(Graph):
    """The same, many one-row requests a call."""

    def forward(self, data: list[dict[str, Any]]) -> list[dict[str, list[float]]]:  # type: ignore[override] - mosec's own convention
        """Score all rows at once."""
        scored = self._probability([request["features"][0] for request in data])
        return [{"probability": [one]} for one in scored]


def main(port: str, model: str, largest_batch: int) -> None:
    """Serve until SIGTERM."""
    os.environ[MODEL] = model
    sys.argv[1:] = ["--address", "127.0.0.1", "--port", port, "--log-level", "error"]
    server = Server()
    if largest_batch > 1:
        server.append_worker(Batched, num=1, max_batch_size=largest_batch, max_wait_time=1)
    else:
        server.append_worker(Graph, num=1)
    server.run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1)
