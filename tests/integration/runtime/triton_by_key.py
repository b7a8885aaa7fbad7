"""Ask for loans by key with tritonclient: `triton_by_key.py http|grpc ADDRESS`, keys and moments on stdin.

A process of its own: tritonclient and the KServe SDK register the same protocol buffers.
"""

import json
import sys
from importlib import import_module

import numpy as np


def main(protocol: str, address: str) -> None:
    asked = json.load(sys.stdin)
    kind = import_module(f"tritonclient.{protocol}")
    columns = {
        "loan_id": ("BYTES", np.array(asked["keys"], object)),
        "event_time": ("INT64", np.array(asked["moments"], np.int64)),
    }
    tensors = []
    for name, (datatype, values) in columns.items():
        tensors.append(kind.InferInput(name, [len(values)], datatype))
        tensors[-1].set_data_from_numpy(values)
    with kind.InferenceServerClient(address) as client:
        answer = client.infer("credit", tensors, outputs=[kind.InferRequestedOutput("probability")])
    said = answer.get_response()
    parameters = said["parameters"] if protocol == "http" else said.parameters
    found = {"probability": answer.as_numpy("probability").tolist(), "parameters": sorted(parameters)}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
