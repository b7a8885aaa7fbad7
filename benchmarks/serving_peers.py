"""The servers that `benchmarks/serving.py` measures ours against, each a process of its own.

`python benchmarks/serving_peers.py kserve|bare-granian|bare-transport PORT MODEL`
"""

import asyncio
import sys
import threading
from pathlib import Path
from typing import Any

OK = b'{"ok":true}'
HEADERS = [("content-type", "application/json")]


def kserve(port: int, model: Path) -> None:
    """KServe's ModelServer with the same graph behind V2 JSON, as its documentation shows it."""
    import onnxruntime as ort  # noqa: PLC0415 - each peer imports its own
    from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer  # noqa: PLC0415 - as above

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.read_bytes(), options, providers=["CPUExecutionProvider"])

    class Peer(Model):  # type: ignore[misc] - kserve publishes no types
        """One graph."""

        def predict(
            self, payload: InferRequest, headers: Any = None, response_headers: Any = None
        ) -> InferResponse:
            """Score the matrix."""
            del headers, response_headers
            rows = payload.inputs[0].as_numpy()
            probability = session.run(["probability"], {"features": rows})[0]
            output = InferOutput("probability", list(probability.shape), "FP32", probability)
            return InferResponse(payload.id, self.name, [output])

    peer = Peer("bench")
    peer.ready = True
    server = ModelServer(http_port=port, workers=1, enable_grpc=False, enable_latency_logging=False)
    server.start([peer])


def bare_granian(port: int, _model: Path) -> None:
    """Granian as published, RSGI on asyncio: reads the body and answers a constant."""
    from granian.constants import HTTPModes, Interfaces  # noqa: PLC0415 - as above
    from granian.server.embed import Server  # noqa: PLC0415 - as above

    async def application(_scope: Any, protocol: Any) -> None:
        await protocol()
        protocol.response_bytes(200, HEADERS, OK)

    server = Server(
        application,
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        log_enabled=False,
    )
    asyncio.run(server.serve())


class Constant:
    """Reads the body and answers a constant."""

    max_body_bytes = 1 << 24

    def at_once(self, _method: str, _path: str) -> None:
        """Everything has a body."""

    def answer(self, _path: str, _body: bytes, respond: Any, _start_ns: int) -> None:
        """Answer the constant."""
        respond(200, HEADERS, OK)

    def refuse(self, status: int, message: str) -> tuple[int, list[tuple[str, str]], bytes]:
        """Say why not."""
        return status, HEADERS, message.encode()


def bare_transport(port: int, _model: Path) -> None:
    """Our own transport, answering a constant: what decoding, model and metrics are added to."""
    from serving.runtime.transport import Transport, listen  # noqa: PLC0415 - as above

    Transport(listen("127.0.0.1", port), Constant()).start()
    threading.Event().wait()


PEERS = {"kserve": kserve, "bare-granian": bare_granian, "bare-transport": bare_transport}

if __name__ == "__main__":
    PEERS[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
