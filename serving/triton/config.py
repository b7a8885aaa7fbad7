"""Triton's `config.pbtxt` for one of our graphs."""

from typing import Literal

from pydantic import Field

from modelway.bundle.engines import Precision
from modelway.contract import Frozen

Backend = Literal["onnxruntime", "tensorrt", "python"]


class TritonOptions(Frozen):
    """How Triton shall run a model."""

    backend: Backend = "onnxruntime"
    """`onnxruntime` reads model.onnx, `tensorrt` model.plan; `python` runs model.onnx without either."""
    gpu: bool = True
    """Instances on GPUs, with ONNX Runtime's TensorRT provider; else on the CPU."""
    instances: int = Field(default=1, ge=1, le=64)
    """Copies on each GPU, or on the CPU."""
    max_batch_rows: int = Field(default=1024, ge=1)
    """Most rows that Triton puts together."""
    max_queue_delay_us: int = Field(default=200, ge=0)
    """How long a request may wait for others, microseconds."""
    precision: Precision = "fp32"
    """Of the engine that backend `tensorrt` loads. The others compute in fp32: what their servers would
    round, nobody has compared."""
    engine_cache: str = "/tmp/trt-cache"  # noqa: S108 - a mount of the container, not this machine's folder
    """Where that provider keeps what it compiled: the pod's volume."""


def config_pbtxt(name: str, width: int, digest: str, options: TritonOptions) -> str:
    """The model's configuration, protobuf text.

    Args:
        name: Of the model, which is its folder's.
        width: Columns of `features`.
        digest: Of the bundle, for whoever asks the server what it serves.
        options: How to run it.
    """
    blocks = (
        _head(name, options),
        _tensors(width, options.backend),
        _batching(options),
        _instances("KIND_GPU" if options.gpu else "KIND_CPU", options.instances),
        _accelerator(width, options) if options.gpu and options.backend == "onnxruntime" else "",
        _warm_up(width),
        _parameter("bundle", digest),
    )
    return "\n".join(block for block in blocks if block) + "\n"


def _head(name: str, options: TritonOptions) -> str:
    return (
        f'name: "{name}"\n'
        f'backend: "{options.backend}"\n'
        f"max_batch_size: {options.max_batch_rows}\n"
        "version_policy { latest { num_versions: 1 } }"
    )


def _tensors(width: int, backend: Backend) -> str:
    # Our graphs answer with shape (n,). With batching on, that is an empty shape to Triton, which
    # takes it as [1] reshaped; the Python model answers with (n, 1) itself.
    reshape = "" if backend == "python" else " reshape { shape: [ ] }"
    return (
        f'input [ {{ name: "features" data_type: TYPE_FP32 dims: [ {width} ] }} ]\n'
        f'output [ {{ name: "probability" data_type: TYPE_FP32 dims: [ 1 ]{reshape} }} ]'
    )


def _batching(options: TritonOptions) -> str:
    return f"dynamic_batching {{ max_queue_delay_microseconds: {options.max_queue_delay_us} }}"


def _instances(kind: str, count: int) -> str:
    return f"instance_group [ {{ kind: {kind} count: {count} }} ]"


def _accelerator(width: int, options: TritonOptions) -> str:
    rows = {"min": 1, "opt": min(64, options.max_batch_rows), "max": options.max_batch_rows}
    said = {
        "precision_mode": "FP32",
        **{f"trt_profile_{name}_shapes": f"features:{count}x{width}" for name, count in rows.items()},
        "trt_engine_cache_enable": "true",
        "trt_engine_cache_path": options.engine_cache,
        "trt_timing_cache_enable": "true",
        "trt_timing_cache_path": options.engine_cache,
    }
    lines = "\n".join(f'      parameters {{ key: "{key}" value: "{value}" }}' for key, value in said.items())
    return (
        "optimization {\n  execution_accelerators {\n    gpu_execution_accelerator [ {\n"
        f'      name: "tensorrt"\n{lines}\n    }} ]\n  }}\n}}'
    )


def _warm_up(width: int) -> str:
    features = f"{{ data_type: TYPE_FP32 dims: [ {width} ] zero_data: true }}"
    return (
        f'model_warmup [ {{ name: "one row" batch_size: 1 inputs {{ key: "features" value: {features} }} }} ]'
    )


def _parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}'
