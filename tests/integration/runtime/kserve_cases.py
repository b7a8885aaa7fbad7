"""What the KServe SDK is told by a server; `test_runtime_foreign_clients` runs this in a process of its own.

tritonclient and the KServe SDK register the same protocol buffers and cannot live in one process.
"""

import asyncio
import os
from typing import Any

import numpy as np
import pytest
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig


def rest_url() -> str:
    return f"http://{os.environ['MODELWAY_TEST_HTTP']}"


def kserve_request(binary: bool) -> InferRequest:
    tensor = InferInput("features", [2, 3], "FP32")
    tensor.set_data_from_numpy(np.array([[0.25, 0, 0], [0.5, 0, 1]], "f4"), binary_data=binary)
    return InferRequest(model_name="echo", infer_inputs=[tensor], request_id="k")


@pytest.mark.parametrize("binary", [True, False], ids=["bytes", "json"])
def test_kserves_client_over_http(binary: bool) -> None:
    url = rest_url()

    async def ask() -> None:
        client = InferenceRESTClient(RESTConfig(protocol="v2"))
        try:
            assert await client.is_server_live(url)
            assert await client.is_server_ready(url)
            assert await client.is_model_ready(url, "echo")
            request = kserve_request(binary)
            request.parameters = {"binary_data_output": binary}
            answer = await client.infer(url, request, model_name="echo")
            assert answer.outputs[0].as_numpy().tolist() == pytest.approx([0.25, 0.6])
            assert answer.outputs[1].as_numpy().tolist() == [0, 1]
            assert answer.id == "k"
        finally:
            await client.close()

    asyncio.run(ask())


@pytest.mark.parametrize("binary", [True, False], ids=["raw", "typed"])
def test_kserves_client_over_grpc(binary: bool) -> None:
    async def ask() -> None:
        client = InferenceGRPCClient(os.environ["MODELWAY_TEST_GRPC"])
        try:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready("echo")
            answer = await client.infer(kserve_request(binary))
            assert answer.outputs[0].as_numpy().tolist() == pytest.approx([0.25, 0.6])
            assert answer.outputs[1].as_numpy().tolist() == [0, 1]
        finally:
            await client.close()

    asyncio.run(ask())


def test_kserves_client_over_v1() -> None:
    url = rest_url()

    async def ask() -> Any:
        client = InferenceRESTClient(RESTConfig(protocol="v1"))
        try:
            return await client.infer(url, {"instances": [[0.25, 0, "red"]]}, model_name="echo")
        finally:
            await client.close()

    assert asyncio.run(ask()) == {"predictions": [0.25]}
