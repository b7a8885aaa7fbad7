"""Write `<folder>/<model>/config.pbtxt` and `<folder>/<model>/1/…` from a verified bundle."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from modelway.bundle.bundle import MODEL_FILE, Bundle
from modelway.bundle.engines import EngineFingerprint, engines_of
from modelway.errors import ConfigError, ParityError, StorageError
from modelway.optimize.trees import tensor_form, tree_nodes
from serving.triton.config import TritonOptions, config_pbtxt

VERSION = "1"
PLAN_FILE = "model.plan"


def render(bundle: Bundle, folder: Path, options: TritonOptions, arch: str | None = None) -> Path:
    """Write the repository; a model folder of that name is replaced whole.

    On GPUs trees go in tensor form, for ONNX Runtime's TensorRT provider would leave their node to the CPU.

    Args:
        bundle: Verified; its name becomes the model's.
        folder: The repository; other models in it stay.
        options: How Triton shall run it.
        arch: With backend `tensorrt`: which of the bundle's engines.

    Returns:
        The model's folder.

    Raises:
        ConfigError: The options do not go together, or the bundle carries no such engine.
        ParityError: The tensor form of the trees does not answer like the graph.
        StorageError: The folder cannot be written.
    """
    _check(options)
    files = _files(bundle, options, arch)
    name = bundle.signature.model_name
    config = config_pbtxt(name, len(bundle.signature.inputs), bundle.digest, options)
    try:
        return _written(folder, name, config, files)
    except OSError as error:
        raise StorageError(
            f"cannot write a Triton repository to {folder}: {error.strerror or error}",
            expected="free space and a writable folder",
            remedy="free some space or name another --out",
        ) from error


def _check(options: TritonOptions) -> None:
    if options.backend != "tensorrt" and options.precision != "fp32":
        raise ConfigError(
            f"precision {options.precision} with backend {options.backend}",
            expected="fp32; the server would round thresholds too, unseen by any parity gate",
            remedy="for other precisions build engines and take the tensorrt backend",
        )
    if (options.backend == "python" and options.gpu) or (options.backend == "tensorrt" and not options.gpu):
        raise ConfigError(
            f"backend {options.backend} with gpu {str(options.gpu).lower()}",
            expected="python on the CPU, tensorrt on a GPU",
            remedy="change one of the two",
        )


def _files(bundle: Bundle, options: TritonOptions, arch: str | None) -> Mapping[str, bytes]:
    if options.backend == "tensorrt":
        return {PLAN_FILE: bundle.read(_engine(bundle, options, arch).file)}
    graph = bundle.read(MODEL_FILE)
    if options.backend == "python":
        return {MODEL_FILE: graph, "model.py": Path(__file__).with_name("python_model.py").read_bytes()}
    return {MODEL_FILE: _for_gpu(graph) if options.gpu else graph}


def _for_gpu(graph: bytes) -> bytes:
    if not tree_nodes(graph):
        return graph
    form = tensor_form(graph)
    if not form.parity.passed:
        raise ParityError(f"the trees in tensor form: {form.parity.summary()}", remedy="render for the CPU")
    return form.content


def _engine(bundle: Bundle, options: TritonOptions, arch: str | None) -> EngineFingerprint:
    """Triton's backend is `tensorrt`: it does not load what `tensorrt_rtx` built."""
    listed = engines_of(bundle)
    for engine in listed:
        if (engine.module, engine.arch, engine.precision) == ("tensorrt", arch, options.precision):
            return engine
    has = ", ".join(f"{e.module} {e.arch} {e.precision}" for e in listed) or "none"
    raise ConfigError(
        f"the bundle carries no engine tensorrt {arch} {options.precision}; it carries: {has}",
        expected="an engine that module `tensorrt` built; Triton does not load those of tensorrt_rtx",
        remedy="modelway optimize engines --module tensorrt on a machine with such a GPU, "
        "or the onnxruntime backend, which compiles on the server",
    )


def _written(folder: Path, name: str, config: str, files: Mapping[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    temporary, final = Path(tempfile.mkdtemp(prefix=".triton-", dir=folder)), folder / name
    try:
        made = temporary / name
        (made / VERSION).mkdir(parents=True)
        (made / "config.pbtxt").write_text(config)
        for file, content in files.items():
            (made / VERSION / file).write_bytes(content)
        if final.exists():
            final.rename(temporary / "old")
        made.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final
