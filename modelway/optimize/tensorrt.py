"""Engines: a graph compiled by TensorRT for one GPU architecture.

`tensorrt_rtx` compiles for named architectures on a machine without a GPU; `tensorrt` compiles on the
GPU itself, for that GPU. Both have the same Builder and OnnxParser, so one path serves both.
"""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from modelway.bundle.engines import Module, Profile
from modelway.errors import ConfigError, EngineError, StorageError, UnsupportedGraphError
from modelway.optimize.cuda import gpu
from modelway.optimize.engine_cache import appear
from modelway.optimize.forest import OPERATORS

INSTALL = {
    "tensorrt_rtx": "make accelerators, or pip install 'modelway[tensorrt]'",
    "tensorrt": "pip install tensorrt, on the machine with the GPU",
}
ERRORS_SHOWN = 3
NODES_SHOWN = 5


def load_module(name: Module) -> ModuleType:
    """`tensorrt_rtx` or `tensorrt`.

    Raises:
        EngineError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise EngineError(
            f"{name} cannot be imported: {error}", expected="TensorRT", remedy=INSTALL[name]
        ) from error


def architectures(module: ModuleType) -> tuple[str, ...]:
    """What the module compiles for without a GPU: `sm80`, …; nothing for `tensorrt`."""
    named = getattr(module, "ComputeCapability", None)
    names = named.__members__ if named is not None else ()
    return tuple(name.lower() for name in names if name.startswith("SM"))


def resolve_arch(module: ModuleType, arch: str) -> str:
    """The architecture to compile for: one of `architectures`, or that of this machine's GPU.

    Raises:
        ConfigError: The module cannot compile for it here.
        EngineError: `current` was asked for and there is no GPU.
    """
    known = architectures(module)
    if arch in known:
        return arch
    if arch == "current" or not known:
        present = gpu().arch
        if arch in {"current", present}:
            return present
    raise ConfigError(
        f"{module.__name__} {module.__version__} does not compile for {arch!r}",
        expected=", ".join((*known, "current")) or "current",
        remedy="name one of these; other architectures need `tensorrt` on a machine that has one",
    )


def build_engine(
    network: bytes, module: ModuleType, arch: str, profile: Profile, timing_cache: Path | None = None
) -> bytes:
    """Compile a graph.

    Args:
        network: ONNX with one input (n, F); its operators' types are kept (strongly typed).
        module: `tensorrt_rtx` or `tensorrt`.
        arch: As `resolve_arch` returns it.
        profile: Rows a call may bring.
        timing_cache: File that `tensorrt` keeps its measurements in; `tensorrt_rtx` measures nothing
            while it builds, so it has none and leaves the file alone.

    Raises:
        UnsupportedGraphError: An operator is unknown to TensorRT; the message names node and operator.
        EngineError: The compiler gave up; the message holds what it said.
        StorageError: The timings cannot be kept.
    """
    said: list[str] = []
    builder = module.Builder(_log(module, said))
    _parser, parsed = _parsed(module, builder, network, said)
    config = _config(module, builder, arch)
    _add_profile(builder, config, parsed, profile)
    cache = _timing_cache(module, config, timing_cache)
    plan = builder.build_serialized_network(parsed, config)
    if plan is None:
        raise EngineError(
            f"{module.__name__} built no engine for {arch}: {_last(said)}",
            expected="a graph that the architecture can compute",
            remedy="try another precision, or serve the graph with ONNX Runtime",
        )
    if cache is not None and timing_cache is not None:
        _keep(timing_cache, bytes(cache.serialize()))
    return bytes(plan)


def _log(module: ModuleType, said: list[str]) -> Any:
    class Log(module.ILogger):  # type: ignore[name-defined]  # known when the module is
        """Keeps errors for our own message; the rest is noise."""

        def __init__(self) -> None:
            super().__init__()

        def log(self, severity: Any, message: str) -> None:
            """Called by TensorRT, from any thread."""
            if severity in {module.ILogger.ERROR, module.ILogger.INTERNAL_ERROR}:
                said.append(message)

    return Log()


def _parsed(module: ModuleType, builder: Any, network: bytes, said: list[str]) -> tuple[Any, Any]:
    """The parser, which owns the weights and must outlive the network, and the network."""
    flags = getattr(module.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    parsed = builder.create_network(0 if flags is None else 1 << int(flags))
    parser = module.OnnxParser(parsed, _log(module, said))
    if not parser.parse(network):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        raise _not_supported(module, errors)
    return parser, parsed


def _not_supported(module: ModuleType, errors: list[Any]) -> UnsupportedGraphError:
    if not errors:
        return UnsupportedGraphError(
            f"{module.__name__} cannot read the graph", remedy="check that it is ONNX"
        )
    nodes = [_node(error) for error in errors]
    said = f"node {nodes[0]}" if len(nodes) == 1 else f"{len(nodes)} nodes: {', '.join(nodes[:NODES_SHOWN])}"
    more = ", …" if len(nodes) > NODES_SHOWN else ""
    trees = [error.node_operator() in OPERATORS for error in errors]
    return UnsupportedGraphError(
        f"{module.__name__} cannot compile {said}{more}: {errors[0].desc().splitlines()[0]}",
        expected="operators that TensorRT knows",
        remedy=" and ".join(_ways_out(trees)),
    )


def _node(error: Any) -> str:
    """Its name, its place in the graph where it has none, and its operator."""
    name = error.node_name()
    return f"{repr(name) if name else error.node()} ({error.node_operator()})"


def _ways_out(trees: list[bool]) -> Iterator[str]:
    if any(trees):
        yield "use the tensor form of trees: modelway.optimize.trees.tensor_form"
    if not all(trees):
        yield "write the node with standard operators, or serve the graph with ONNX Runtime"


def _config(module: ModuleType, builder: Any, arch: str) -> Any:
    config = builder.create_builder_config()
    strict = getattr(module.BuilderFlag, "STRICT_NANS", None)
    if strict is not None:
        config.set_flag(strict)  # NaN means missing in our graphs: no rewriting that assumes it away
    if hasattr(module.BuilderFlag, "TF32"):
        config.clear_flag(module.BuilderFlag.TF32)  # fp32 shall mean 24 bits, not 11
    if arch in architectures(module):
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(module.ComputeCapability, arch.upper()), 0)
    return config


def _add_profile(builder: Any, config: Any, network: Any, profile: Profile) -> None:
    rows = builder.create_optimization_profile()
    source = network.get_input(0)
    width = source.shape[1]
    rows.set_shape(
        source.name, *((count, width) for count in (profile.min_rows, profile.opt_rows, profile.max_rows))
    )
    config.add_optimization_profile(rows)


def _timing_cache(module: ModuleType, config: Any, path: Path | None) -> Any:
    """The cache in use: what the file holds, or an empty one where TensorRT refuses that.

    It refuses half a file, and measurements of another GPU or by another version.
    """
    if path is None or module.__name__ != "tensorrt":
        return None
    for content in (path.read_bytes() if path.exists() else b"", b""):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
            return cache
    return None


def _keep(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        appear(path, content)
    except OSError as error:
        raise StorageError(
            f"cannot keep TensorRT's timings in {path.parent}: {error.strerror or error}",
            expected="free space and a writable folder",
            remedy="free some space or name another folder",
        ) from error


def _last(said: list[str]) -> str:
    return " | ".join(" ".join(line.split()) for line in said[-ERRORS_SHOWN:]) or "it gave no reason"
