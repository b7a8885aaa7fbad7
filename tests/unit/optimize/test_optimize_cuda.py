# ruff: noqa: N802 - the driver's own names
import ctypes

import pytest

from modelway.errors import EngineError
from modelway.optimize import cuda


class FakeDriver:
    """Answers like libcuda: 0 is success, results go through pointers."""

    def __init__(self, count=1, capability=(9, 0), broken=""):
        self.count, self.capability, self.broken = count, capability, broken

    def cuInit(self, _flags):
        return 999 if self.broken == "cuInit" else 0

    def cuDeviceGetCount(self, count):
        count._obj.value = self.count
        return 0

    def cuDeviceGet(self, device, _number):
        device._obj.value = 0
        return 0

    def cuDeviceGetName(self, name, _size, _device):
        name.value = b"NVIDIA H100"
        return 0

    def cuDeviceGetAttribute(self, value, which, _device):
        value._obj.value = self.capability[which - 75]
        return 0

    def cuGetErrorString(self, _status, text):
        text._obj.value = b"no CUDA-capable device is detected"
        return 0


@pytest.mark.parametrize(
    ("capability", "arch"), [((9, 0), "sm90"), ((8, 9), "sm89"), ((12, 1), "sm121"), ((7, 5), "sm75")]
)
def test_the_architecture_is_the_compute_capability_without_its_dot(monkeypatch, capability, arch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: FakeDriver(capability=capability))

    assert cuda.gpu() == cuda.Gpu("NVIDIA H100", arch)


@pytest.mark.parametrize(
    ("driver", "says"),
    [
        pytest.param(FakeDriver(count=0), "the driver sees no GPU", id="none"),
        pytest.param(
            FakeDriver(broken="cuInit"), "CUDA error 999: no CUDA-capable device is detected", id="broken"
        ),
    ],
)
def test_a_driver_without_a_gpu_is_the_reason(monkeypatch, driver, says):
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: driver)

    with pytest.raises(EngineError) as caught:
        cuda.gpu()

    assert caught.value.found == says


def test_a_missing_driver_is_the_reason(monkeypatch):
    monkeypatch.setattr(cuda, "LIBRARY", "libnobody-has-this.so")

    with pytest.raises(EngineError, match=r"no NVIDIA driver: libnobody-has-this\.so is not installed"):
        cuda.gpu()
