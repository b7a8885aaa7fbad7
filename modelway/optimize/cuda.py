"""The GPU through NVIDIA's driver library: which one is here, and memory on it.

`libcuda.so.1` comes with the driver, so nothing needs installing where a GPU works, and where none
does its absence says so. Shares the primary context with TensorRT, which uses the runtime library.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelway.errors import EngineError

LIBRARY = "libcuda.so.1"
_MAJOR, _MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*."""


@dataclass(frozen=True)
class Gpu:
    """The first GPU of this machine."""

    name: str
    arch: str
    """sm and the compute capability without its dot, e.g. sm90."""


def gpu() -> Gpu:
    """The first GPU that this process may use.

    Raises:
        EngineError: No driver library, no GPU, or the driver refuses; the message is the reason.
    """
    driver = _driver()
    count, device = ctypes.c_int(), ctypes.c_int()
    _check(driver, driver.cuDeviceGetCount(ctypes.byref(count)))
    if not count.value:
        raise _no_gpu("the driver sees no GPU")
    _check(driver, driver.cuDeviceGet(ctypes.byref(device), 0))
    name = ctypes.create_string_buffer(256)
    _check(driver, driver.cuDeviceGetName(name, len(name), device))
    major, minor = (_attribute(driver, device, which) for which in (_MAJOR, _MINOR))
    return Gpu(name.value.decode(), f"sm{major}{minor}")


class Device:
    """The first GPU's primary context, one stream, and memory on it."""

    def __init__(self) -> None:
        """Open the first GPU.

        Raises:
            EngineError: As `gpu`.
        """
        self._driver = _driver()
        self._device, self._context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(self._device), 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._device)
        self.enter()
        stream = ctypes.c_void_p()
        self._call("cuStreamCreate", ctypes.byref(stream), 0)
        self.stream = int(stream.value or 0)

    def enter(self) -> None:
        """Make the context this thread's own; each thread does it before its first call."""
        self._call("cuCtxSetCurrent", self._context)

    def allocate(self, size_bytes: int) -> int:
        """Address of so much device memory."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size_bytes))
        return int(address.value)

    def release(self, addresses: Sequence[int]) -> None:
        """Give the memory, the stream and the context back; the device is of no use afterwards."""
        self.enter()
        for address in addresses:
            self._call("cuMemFree_v2", ctypes.c_uint64(address))
        self._call("cuStreamDestroy_v2", ctypes.c_void_p(self.stream))
        self._call("cuDevicePrimaryCtxRelease_v2", self._device)

    def to_device(self, address: int, host: Any) -> None:
        """Copy a C-contiguous array onto the device, in the stream's order."""
        self._call(
            "cuMemcpyHtoDAsync_v2",
            ctypes.c_uint64(address),
            ctypes.c_void_p(host.ctypes.data),
            ctypes.c_size_t(host.nbytes),
            ctypes.c_void_p(self.stream),
        )

    def to_host(self, host: Any, address: int) -> None:
        """Copy back into a C-contiguous array, and wait until all that came before is done."""
        self._call(
            "cuMemcpyDtoHAsync_v2",
            ctypes.c_void_p(host.ctypes.data),
            ctypes.c_uint64(address),
            ctypes.c_size_t(host.nbytes),
            ctypes.c_void_p(self.stream),
        )
        self._call("cuStreamSynchronize", ctypes.c_void_p(self.stream))

    def _call(self, name: str, *arguments: Any) -> None:
        _check(self._driver, getattr(self._driver, name)(*arguments))


def _driver() -> Any:
    try:
        driver = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise _no_gpu(f"no NVIDIA driver: {LIBRARY} is not installed") from error
    _check(driver, driver.cuInit(0))
    return driver


def _attribute(driver: Any, device: Any, which: int) -> int:
    value = ctypes.c_int()
    _check(driver, driver.cuDeviceGetAttribute(ctypes.byref(value), which, device))
    return value.value


def _check(driver: Any, status: int) -> None:
    if status:
        text = ctypes.c_char_p()
        driver.cuGetErrorString(status, ctypes.byref(text))
        raise _no_gpu(f"CUDA error {status}: {(text.value or b'unknown').decode()}")


def _no_gpu(why: str) -> EngineError:
    return EngineError(why, expected="an NVIDIA GPU with its driver", remedy="serve with ONNX Runtime")
