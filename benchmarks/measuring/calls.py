"""The same twelve numbers as each protocol writes them, and how to read the probability from the answer."""

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from measuring.graph import FEATURES, ROW

V2_PATH = "/v2/models/bench/infer"
GRPC_PATH = "/inference.GRPCInferenceService/ModelInfer"
_JSON = {"content-type": "application/json"}
_HEADER_LENGTH = "inference-header-content-length"
_PREFIX = struct.Struct(">?I")
"""gRPC's frame: compressed or not, and the length of the message."""


@dataclass(frozen=True)
class Call:
    """One request, and how its answer is read."""

    path: str
    body: bytes
    probability: Callable[[bytes, Mapping[str, str]], float] = field(compare=False)
    headers: Mapping[str, str] = field(default_factory=lambda: _JSON)


def matrix() -> Call:
    """V2 JSON, all columns in one tensor."""
    return Call(V2_PATH, _dumped({"id": "1", "inputs": [_tensor(data=list(ROW))]}), _from_v2)


def named() -> Call:
    """V2 JSON, a tensor for each column."""
    inputs = [
        {"name": f"x{at}", "shape": [1], "datatype": "FP32", "data": [value]} for at, value in enumerate(ROW)
    ]
    return Call(V2_PATH, _dumped({"id": "1", "inputs": inputs}), _from_v2)


def binary() -> Call:
    """V2 with the binary tensor extension both ways, as `tritonclient` writes it."""
    values = struct.pack(f"<{FEATURES}f", *ROW)
    head = _dumped(
        {
            "id": "1",
            "inputs": [_tensor(parameters={"binary_data_size": len(values)})],
            "parameters": {"binary_data_output": True},
        }
    )
    headers = {"content-type": "application/octet-stream", _HEADER_LENGTH: str(len(head))}
    return Call(V2_PATH, head + values, _from_binary, headers)


def own_json(path: str) -> Call:
    """What a server without V2 gets: the row under one key, the probability back under another."""
    return Call(path, _dumped({"features": [list(ROW)]}), lambda body, _: json.loads(body)["probability"][0])


def nothing() -> Call:
    """For servers that answer a constant: the same bytes as `matrix`, no probability."""
    return Call(V2_PATH, matrix().body, lambda _body, _headers: float("nan"))


def grpc() -> Call:
    """V2 over gRPC with raw contents; the body is one whole frame."""
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb  # noqa: PLC0415 - slow

    tensor = pb.ModelInferRequest.InferInputTensor(name="features", datatype="FP32", shape=[1, FEATURES])
    raw = struct.pack(f"<{FEATURES}f", *ROW)
    message = pb.ModelInferRequest(
        model_name="bench", id="1", inputs=[tensor], raw_input_contents=[raw]
    ).SerializeToString()
    headers = {"content-type": "application/grpc", "te": "trailers"}
    return Call(GRPC_PATH, _PREFIX.pack(False, len(message)) + message, _from_grpc, headers)


def message_of(call: Call) -> bytes:
    """The message inside a gRPC frame."""
    return call.body[_PREFIX.size :]


def _from_v2(body: bytes, _headers: Mapping[str, str]) -> float:
    answer = json.loads(body)
    return float(_named(answer["outputs"], "probability")["data"][0])


def _from_binary(body: bytes, headers: Mapping[str, str]) -> float:
    length = int(headers[_HEADER_LENGTH])
    offset = length
    for output in json.loads(body[:length])["outputs"]:
        if output["name"] == "probability":
            return float(struct.unpack_from("<f", body, offset)[0])
        offset += int(output["parameters"]["binary_data_size"])
    raise LookupError("no output named probability")


def _from_grpc(message: bytes, _headers: Mapping[str, str]) -> float:
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb  # noqa: PLC0415 - slow

    answer = pb.ModelInferResponse.FromString(message)
    at = [output.name for output in answer.outputs].index("probability")
    if answer.raw_output_contents:
        return float(struct.unpack_from("<f", answer.raw_output_contents[at])[0])
    return float(answer.outputs[at].contents.fp32_contents[0])


def _tensor(**rest: Any) -> dict[str, Any]:
    return {"name": "features", "shape": [1, FEATURES], "datatype": "FP32"} | rest


def _named(outputs: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(output for output in outputs if output["name"] == name)


def _dumped(request: dict[str, Any]) -> bytes:
    return json.dumps(request, separators=(",", ":")).encode()
