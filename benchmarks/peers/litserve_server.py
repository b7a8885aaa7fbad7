"""LitServe with the graph behind its own JSON: one API server, one worker, the fast queue, no access log.

`python litserve_server.py PORT MODEL`
"""

import sys
from typing import Any

import litserve
import numpy as np


class Graph(litserve.LitAPI):
    """One graph, one thread."""

    model: str

    def setup(self, device: str) -> None:
        """Open the graph in the worker's process."""
        import onnxruntime as ort  # noqa: PLC0415 - only the worker needs it

        del device
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(self.model, options, providers=["CPUExecutionProvider"])

    def predict(self, request: dict[str, Any]) -> dict[str, list[float]]:
        """Score the matrix."""
        rows = np.asarray(request["features"], dtype=np.float32)
        return {"probability": self._session.run(["probability"], {"features": rows})[0].tolist()}


def main(port: int, model: str) -> None:
    """Serve until SIGTERM."""
    graph = Graph()
    graph.model = model
    server = litserve.LitServer(
        graph, accelerator="cpu", workers_per_device=1, fast_queue=True, disable_openapi_url=True
    )
    server.run(
        host="127.0.0.1",
        port=port,
        num_api_servers=1,
        log_level="error",
        access_log=False,
        generate_client_file=False,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
