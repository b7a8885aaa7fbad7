"""KServe's ModelServer with the graph behind V2, as its documentation shows a custom model.

`python kserve_server.py PORT MODEL [GRPC_PORT]`; one worker, no access log, no latency log.
"""

import logging
import sys
from pathlib import Path
from typing import Any

import onnxruntime as ort
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class Graph(Model):  # type: ignore[misc] - kserve publishes no types
    """One graph, one thread."""

    def __init__(self, model: Path) -> None:
        super().__init__("bench")
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.ready = True

    def predict(
        self, payload: InferRequest, headers: Any = None, response_headers: Any = None
    ) -> InferResponse:
        """Score the matrix; KServe calls it on its event loop, coroutine or not."""
        del headers, response_headers
        probability = self._session.run(["probability"], {"features": payload.inputs[0].as_numpy()})[0]
        output = InferOutput("probability", list(probability.shape), "FP32")
        output.set_data_from_numpy(probability, binary_data=payload.from_grpc)
        return InferResponse(payload.id, self.name, [output])


def main(port: int, model: Path, grpc_port: int | None) -> None:
    """Serve until SIGTERM."""
    logging.disable(logging.INFO)
    server = ModelServer(
        http_port=port,
        grpc_port=grpc_port or 0,
        enable_grpc=grpc_port is not None,
        workers=1,
        enable_latency_logging=False,
    )
    server.start([Graph(model)])


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
