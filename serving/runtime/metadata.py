"""What a model says of itself in V2's terms."""

from collections.abc import Mapping
from typing import Any

from modelway.bundle.signature import GRAPH_INPUT, GRAPH_OUTPUT
from serving.runtime.columns import EVENT_TIME
from serving.runtime.served import Served


def model_metadata(served: Served) -> Mapping[str, Any]:
    """The V2 metadata document; what the protocol has no place for stands in `parameters`."""
    signature = served.bundle.signature
    return {
        "name": served.name,
        "versions": [served.revision],
        "platform": "onnxruntime",
        "inputs": [
            _tensor(column.name, "BYTES" if column.kind == "category" else "FP32")
            for column in signature.inputs
        ],
        "outputs": [_tensor(GRAPH_OUTPUT, "FP32"), _tensor("decision", "INT64")],
        "parameters": {
            "matrix_input": {"name": GRAPH_INPUT, "datatype": "FP32", "shape": [-1, len(signature.inputs)]},
            "log_only_inputs": [_tensor(signature.key, "BYTES"), _tensor(EVENT_TIME, "INT64")],
            "threshold": signature.threshold,
            "bundle": served.bundle.digest,
        },
    }


def _tensor(name: str, datatype: str) -> Mapping[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1]}
