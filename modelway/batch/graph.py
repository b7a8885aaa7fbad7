"""A bundle's graph as a function, loaded from verified bytes."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime

from modelway.bundle.bundle import MODEL_FILE, Bundle
from modelway.bundle.signature import GRAPH_INPUT, GRAPH_OUTPUT
from modelway.errors import BundleRejectedError

Score: TypeAlias = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""Matrix (n, F) -> probability (n,)."""

_ERRORS_ONLY = 3


def load_graph(bundle: Bundle) -> Score:
    """The graph on the CPU.

    Raises:
        BundleRejectedError: It was altered, does not load, or is not of the signature's shape.
    """
    session = _session(bundle)
    _check_shape(session, bundle)

    def score(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        found = session.run([GRAPH_OUTPUT], {GRAPH_INPUT: features})[0]
        return np.asarray(found, dtype=np.float32).reshape(len(features))

    return score


def _session(bundle: Bundle) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    graph = bundle.read(MODEL_FILE)
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base of their own
        raise _rejected(bundle, f"does not load: {error}") from error


def _check_shape(session: Any, bundle: Bundle) -> None:
    inputs = {tensor.name: tensor.shape for tensor in session.get_inputs()}
    outputs = {tensor.name for tensor in session.get_outputs()}
    if GRAPH_OUTPUT not in outputs or list(inputs) != [GRAPH_INPUT] or not _fits(inputs[GRAPH_INPUT], bundle):
        raise _rejected(bundle, f"takes {inputs} and gives {sorted(outputs)}")


def _fits(shape: list[int | str | None], bundle: Bundle) -> bool:
    """Two dimensions, the second as wide as the signature unless the graph leaves it open."""
    return len(shape) == 2 and (shape[1] == len(bundle.signature.inputs) or not isinstance(shape[1], int))  # noqa: PLR2004 - a matrix


def _rejected(bundle: Bundle, what: str) -> BundleRejectedError:
    return BundleRejectedError(
        f"{MODEL_FILE} of bundle {bundle.digest[:12]} {what}",
        expected=f"a graph from {GRAPH_INPUT} (n, {len(bundle.signature.inputs)}) to {GRAPH_OUTPUT} (n)",
        remedy="export and register the model again",
    )
