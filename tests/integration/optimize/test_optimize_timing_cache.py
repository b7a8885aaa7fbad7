"""Timings that `tensorrt` keeps from build to build. TensorRT for RTX has the same calls and needs no GPU."""

from types import ModuleType

import onnx.parser
import pytest

from modelway.bundle.engines import Profile
from modelway.errors import StorageError
from modelway.optimize.tensorrt import build_engine, load_module

pytestmark = [
    pytest.mark.accelerator("tensorrt-rtx"),
    # RTX keeps the calls and does nothing in them; `tensorrt` does not deprecate them.
    pytest.mark.filterwarnings("ignore:.*Timing cache operations are no-ops:DeprecationWarning"),
]
ARCH = "sm89"
GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
product (float[N, 2] features) => (float[N, 1] probability)
<float[2, 1] weights = {0.5, -0.25}>
{ score = MatMul(features, weights) probability = Sigmoid(score) }
"""


class Strict:
    """A builder's configuration that takes only timings with its own mark, as on another GPU or version."""

    mark = b"timings of this GPU"

    def __init__(self, config):
        self._config = config
        self.read = None

    def __getattr__(self, name):
        return getattr(self._config, name)

    def create_timing_cache(self, content):
        self.read = bytes(content)
        return self._config.create_timing_cache(b"")

    def set_timing_cache(self, cache, ignore_mismatch):
        assert not ignore_mismatch
        return self.read in {b"", self.mark} and self._config.set_timing_cache(cache, ignore_mismatch)


class Builder:
    """TensorRT for RTX's own, with such a configuration; remembers what each build began with."""

    begun_with: list[bytes]

    def __init__(self, real):
        self._real = real

    def __getattr__(self, name):
        return getattr(self._real, name)

    def create_builder_config(self):
        self._given = Strict(self._real.create_builder_config())
        return self._given

    def build_serialized_network(self, network, config):
        Builder.begun_with.append(config.read)
        return self._real.build_serialized_network(network, config._config)


@pytest.fixture
def tensorrt():
    """TensorRT for RTX under the name of the module that measures."""
    real, module = load_module("tensorrt_rtx"), ModuleType("tensorrt")
    module.__dict__.update({k: v for k, v in real.__dict__.items() if not k.startswith("__")})
    module.__version__ = real.__version__
    module.Builder = lambda log: Builder(real.Builder(log))
    Builder.begun_with = []
    return module


@pytest.fixture
def network():
    return onnx.parser.parse_model(GRAPH).SerializeToString()


def test_a_build_leaves_its_timings_for_the_next_one(tensorrt, network, tmp_path):
    kept = tmp_path / "engines" / "timing.cache"

    build_engine(network, tensorrt, ARCH, Profile(), kept)
    written = kept.read_bytes()
    kept.write_bytes(Strict.mark)
    build_engine(network, tensorrt, ARCH, Profile(), kept)

    assert written
    assert Builder.begun_with == [b"", Strict.mark]
    assert [each.name for each in kept.parent.iterdir()] == [kept.name]


def test_timings_of_another_gpu_are_begun_anew_and_cost_no_engine(tensorrt, network, tmp_path):
    kept = tmp_path / "timing.cache"
    kept.write_bytes(b"timings of another GPU")

    plan = build_engine(network, tensorrt, ARCH, Profile(), kept)

    assert plan
    assert Builder.begun_with == [b""]
    assert kept.read_bytes() != b"timings of another GPU"


def test_a_folder_that_takes_no_timings_is_named(tensorrt, network, tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StorageError, match="cannot keep TensorRT's timings"):
        build_engine(network, tensorrt, ARCH, Profile(), tmp_path / "file" / "timing.cache")


def test_tensorrt_for_rtx_measures_nothing_and_leaves_the_file_alone(network, tmp_path):
    build_engine(network, load_module("tensorrt_rtx"), ARCH, Profile(), tmp_path / "timing.cache")

    assert not (tmp_path / "timing.cache").exists()
