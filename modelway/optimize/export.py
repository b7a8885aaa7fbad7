"""One graph, one file: `features` float32 (n, F) -> `probability` float32 (n,)."""

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from modelway.bundle.derived import Derived
from modelway.bundle.signature import GRAPH_INPUT, GRAPH_OUTPUT, Input
from modelway.errors import ParityError
from modelway.optimize.calibrator_graph import calibrator_graph
from modelway.optimize.derived_graph import derived_graph
from modelway.optimize.graph import IR_VERSION, KNOWN, ML_OPSET, OPSET, GraphPart, constant, node
from modelway.training.encoding import code_limits

if TYPE_CHECKING:
    from modelway.training.calibration import AnyCalibrator

FLOAT = 1
"""onnx.TensorProto.FLOAT"""
_CHECKED = "checked"
"""The inputs with every impossible code made NaN, where something is still derived from them."""


class Exportable(Protocol):
    """Any trained model that can write itself as nodes from `KNOWN` to `MARGIN`."""

    def graph(self) -> GraphPart:
        """The model's own nodes."""
        ...


def to_onnx(
    model: Exportable,
    calibrator: "AnyCalibrator",
    inputs: tuple[Input, ...],
    derived: tuple[Derived, ...] = (),
) -> bytes:
    """Join preprocessing, derived features, model and calibrator.

    Nothing in the bytes depends on time, place or the order of a set: the same model gives the same file.

    Args:
        model: Learnt from the inputs and what is derived from them, in this order.
        calibrator: From the model's log-odds to the probability.
        inputs: Columns of the graph's matrix.
        derived: What the graph computes from them before the model sees them.

    Raises:
        ParityError: The parts do not form a valid graph.
    """
    import onnx  # noqa: PLC0415 - half a second that training's callers need not pay
    from onnx import helper  # noqa: PLC0415 - as above

    parts = (*_known(inputs, derived), model.graph(), calibrator_graph(calibrator))
    graph = helper.make_graph(
        [n for part in parts for n in part.nodes],
        "modelway",
        [helper.make_tensor_value_info(GRAPH_INPUT, FLOAT, ["n", len(inputs)])],
        [helper.make_tensor_value_info(GRAPH_OUTPUT, FLOAT, ["n"])],
        initializer=[c for part in parts for c in part.constants],
    )
    model_proto = helper.make_model(
        graph, producer_name="modelway", ir_version=IR_VERSION, opset_imports=_opsets()
    )
    try:
        onnx.checker.check_model(model_proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ParityError(
            f"the exported graph is not valid ONNX: {error}", remedy="report it: a fitter is wrong"
        ) from error
    content: bytes = model_proto.SerializeToString(deterministic=True)
    return content


def _opsets() -> list[Any]:
    from onnx import helper  # noqa: PLC0415 - as above

    return [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]


def _known(inputs: tuple[Input, ...], derived: tuple[Derived, ...]) -> tuple[GraphPart, ...]:
    """From the graph's input to what the model reads: `encoding.seen_by_model` as nodes."""
    if not derived:
        return (_codes_checked(inputs, KNOWN),)
    return _codes_checked(inputs, _CHECKED), derived_graph(inputs, derived, _CHECKED)


def _codes_checked(inputs: tuple[Input, ...], output: str) -> GraphPart:
    """`encoding.known` as nodes: a code that names no vocabulary entry becomes NaN."""
    limits = code_limits(inputs)
    is_number = np.isinf(limits)
    constants = (
        constant("code_limit", limits),
        constant("is_number", is_number, np.bool_),
        constant("first_code", 0.0),
        constant("nan", np.nan),
    )
    nodes = (
        node("GreaterOrEqual", [GRAPH_INPUT, "first_code"], "not_negative"),
        node("Less", [GRAPH_INPUT, "code_limit"], "in_vocabulary"),
        node("Floor", [GRAPH_INPUT], "whole"),
        node("Equal", [GRAPH_INPUT, "whole"], "is_whole"),
        node("And", ["not_negative", "in_vocabulary"], "in_range"),
        node("And", ["in_range", "is_whole"], "is_code"),
        node("Or", ["is_code", "is_number"], "is_valid"),
        node("Where", ["is_valid", GRAPH_INPUT, "nan"], output),
    )
    return GraphPart(nodes, constants)
