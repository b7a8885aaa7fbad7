"""What a model says of itself in V2's terms."""

from collections.abc import Mapping, Sequence
from typing import Any

from modelway import __version__
from modelway.bundle.signature import GRAPH_INPUT, GRAPH_OUTPUT
from serving.runtime.columns import EVENT_TIME
from serving.runtime.served import Served

_EXTENSIONS = ["binary_tensor_data", "records"]


def server_metadata(*, with_repository: bool) -> Mapping[str, Any]:
    """What the server is and which extensions of V2 it speaks."""
    extensions = [*_EXTENSIONS, "model_repository"] if with_repository else _EXTENSIONS
    return {
        "name": "modelway",
        "version": __version__,
        "extensions": extensions,
        "openapi": "/openapi.json",
    }


def model_metadata(served: Served, versions: Sequence[str] | None = None) -> Mapping[str, Any]:
    """The V2 metadata document; what the protocol has no place for stands in `parameters`."""
    signature = served.bundle.signature
    return {
        "name": served.name,
        "versions": list(versions or [served.revision]),
        "platform": served.model.platform,
        "inputs": [
            _tensor(column.name, "BYTES" if column.kind == "category" else "FP32")
            for column in signature.inputs
        ],
        "outputs": [_tensor(GRAPH_OUTPUT, "FP32"), _tensor("decision", "INT64")],
        "parameters": {
            "matrix_input": {"name": GRAPH_INPUT, "datatype": "FP32", "shape": [-1, len(signature.inputs)]},
            "log_only_inputs": [
                _tensor(signature.key, "BYTES"),
                _tensor(EVENT_TIME, "INT64"),
                *(_tensor(name, "BYTES") for name in sorted(served.columns.entities)),
            ],
            "threshold": signature.threshold,
            "bundle": served.bundle.digest,
            "why_this_platform": served.model.why,
        },
    }


def _tensor(name: str, datatype: str) -> Mapping[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1]}
