"""MLServer with the graph behind V2: a custom runtime, no worker pool, no debug log, no metrics, no gzip.

`python mlserver_server.py PORT MODEL`
"""

import asyncio
import socket
import sys
from pathlib import Path

import onnxruntime as ort
import uvloop
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse


class Graph(MLModel):
    """One graph, one thread."""

    async def load(self) -> bool:
        """Open the graph."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        model = self.settings.parameters.uri
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Score the matrix."""
        rows = NumpyCodec.decode_input(payload.inputs[0])
        probability = self._session.run(["probability"], {"features": rows})[0]
        outputs = [NumpyCodec.encode_output("probability", probability)]
        return InferenceResponse(model_name=self.name, outputs=outputs)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def main(port: int, model: Path) -> None:
    """Serve until SIGTERM."""
    settings = Settings(
        debug=False,
        host="127.0.0.1",
        http_port=port,
        grpc_port=_free_port(),
        parallel_workers=0,
        metrics_endpoint=None,
        gzip_enabled=False,
    )
    server = MLServer(settings)
    graph = ModelSettings(name="bench", implementation=Graph, parameters=ModelParameters(uri=str(model)))
    await server.start([graph])


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
