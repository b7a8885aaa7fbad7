"""Ray Serve with the graph behind its own JSON: one replica, throughput mode behind HAProxy, no access log.

`python ray_server.py PORT MODEL`. Both switches are those of Ray's guide to high throughput; HAProxy gets one
thread because it has one core.
"""

import os
import sys
import threading
from pathlib import Path

_FOLDER = Path(sys.argv[2]).parent / "ray"  # beside the model: whoever made that folder removes it
_SETTINGS = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_HAPROXY_NBTHREAD": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
os.environ.update(_SETTINGS)  # Ray reads them while it is imported

import numpy as np  # noqa: E402 - after the settings
import onnxruntime as ort  # noqa: E402 - as above
import ray  # noqa: E402 - as above
from ray import serve  # noqa: E402 - as above
from ray.serve.schema import LoggingConfig  # noqa: E402 - as above
from starlette.requests import Request  # noqa: E402 - as above


@serve.deployment(
    num_replicas=1,
    max_ongoing_requests=100,
    ray_actor_options={"num_cpus": 1},
    logging_config=LoggingConfig(enable_access_log=False, log_level="ERROR"),
)
class Graph:
    """One graph, one thread."""

    def __init__(self, model: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    async def __call__(self, request: Request) -> dict[str, list[float]]:
        """Score the matrix."""
        rows = np.asarray((await request.json())["features"], dtype=np.float32)
        return {"probability": self._session.run(["probability"], {"features": rows})[0].tolist()}


def main(port: int, model: str) -> None:
    """Serve until SIGTERM."""
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100 * 2**20,
        _temp_dir=str(_FOLDER),
    )
    quiet = LoggingConfig(enable_access_log=False, log_level="ERROR")
    serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config=quiet)
    serve.run(Graph.bind(model), name="bench", route_prefix="/")
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
