"""libcuda and TensorRT on the host's own memory: what an engine's code asks of both, without a GPU.

Memory is real and so are the copies: a wrong size, address or order shows. The "engine" is the plan
read as a graph by ONNX Runtime. The real ones answer in tests/gpu.
"""
# ruff: noqa: N802 - the driver's own names

import ctypes
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort


class FakeDriver:
    """Answers like libcuda on a machine with one GPU."""

    def __init__(self, capability=(8, 9)):
        self.capability, self.memory, self.calls = capability, {}, []

    def __getattr__(self, name):
        def call(*_arguments):
            self.calls.append(name)
            return 0

        return call

    def cuDeviceGetCount(self, count):
        count._obj.value = 1
        return 0

    def cuDeviceGetName(self, name, _size, _device):
        name.value = b"NVIDIA L4"
        return 0

    def cuDeviceGetAttribute(self, value, which, _device):
        value._obj.value = self.capability[which - 75]
        return 0

    def cuMemAlloc_v2(self, address, size):
        buffer = ctypes.create_string_buffer(size.value)
        address._obj.value = ctypes.addressof(buffer)
        self.memory[address._obj.value] = buffer
        return 0

    def cuMemFree_v2(self, address):
        del self.memory[address.value]
        return 0

    def cuMemcpyHtoDAsync_v2(self, device, host, size, _stream):
        assert size.value <= len(self.memory[device.value]), "more than was allocated"
        ctypes.memmove(device.value, host.value, size.value)
        return 0

    def cuMemcpyDtoHAsync_v2(self, host, device, size, _stream):
        assert size.value <= len(self.memory[device.value]), "more than was allocated"
        ctypes.memmove(host.value, device.value, size.value)
        return 0


class FakeContext:
    """Runs on the memory it was given the addresses of."""

    def __init__(self, session, max_rows):
        self.session, self.max_rows, self.addresses, self.shape = session, max_rows, {}, None

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def set_input_shape(self, _name, shape):
        self.shape = tuple(shape)
        return shape[0] <= self.max_rows

    def execute_async_v3(self, _stream):
        size = int(np.prod(self.shape))
        features = np.ctypeslib.as_array((ctypes.c_float * size).from_address(self.addresses["features"]))
        (answer,) = self.session.run(["probability"], {"features": features.reshape(self.shape)})
        ctypes.memmove(self.addresses["probability"], answer.ctypes.data, answer.nbytes)
        return True


def fake_tensorrt(version="1.7", max_rows=8):
    """A module with the calls of `tensorrt` that loading and running an engine needs."""

    def deserialize(plan):
        if plan == b"not a plan":
            return None
        session = ort.InferenceSession(plan, providers=["CPUExecutionProvider"])
        names = ["features", "probability"]
        return SimpleNamespace(
            num_io_tensors=2,
            get_tensor_name=names.__getitem__,
            create_execution_context=lambda: FakeContext(session, max_rows),
        )

    class Logger:
        ERROR = 0

        def __init__(self, _severity):
            pass

    runtime = SimpleNamespace(deserialize_cuda_engine=deserialize)
    return SimpleNamespace(__version__=version, Logger=Logger, Runtime=lambda _logger: runtime)
