"""Calibrators as ONNX nodes, from `MARGIN` to the probability: the same function to float32's last digit."""

from typing import TYPE_CHECKING

import numpy as np

from modelway.bundle.signature import GRAPH_OUTPUT
from modelway.optimize.graph import MARGIN, GraphPart, constant, node

if TYPE_CHECKING:
    from modelway.training.calibration import (
        AnyCalibrator,
        BetaCalibrator,
        Calibrator,
        IsotonicCalibrator,
    )

INT64 = 7
"""onnx.TensorProto.INT64"""


def calibrator_graph(calibrator: "AnyCalibrator") -> GraphPart:
    """The nodes of any calibrator."""
    if calibrator.method == "isotonic":
        return _staircase(calibrator)
    if calibrator.method == "beta":
        return _bent(calibrator)
    return _line(calibrator)


def _line(calibrator: "Calibrator") -> GraphPart:
    constants = (
        constant("slope", calibrator.slope),
        constant("intercept", calibrator.intercept),
        constant("flat", [-1], np.int64),
    )
    nodes = (
        node("Reshape", [MARGIN, "flat"], "margin_flat"),
        node("Mul", ["margin_flat", "slope"], "steeper"),
        node("Add", ["steeper", "intercept"], "log_odds"),
        node("Sigmoid", ["log_odds"], GRAPH_OUTPUT),
    )
    return GraphPart(nodes, constants)


def _bent(calibrator: "BetaCalibrator") -> GraphPart:
    constants = (
        constant("low", calibrator.low),
        constant("high", calibrator.high),
        constant("intercept", calibrator.intercept),
        constant("flat", [-1], np.int64),
    )
    nodes = (
        node("Reshape", [MARGIN, "flat"], "margin_flat"),
        node("Neg", ["margin_flat"], "margin_negated"),
        node("Softplus", ["margin_flat"], "minus_log_negative"),
        node("Softplus", ["margin_negated"], "minus_log_positive"),
        node("Mul", ["minus_log_negative", "high"], "from_negative"),
        node("Mul", ["minus_log_positive", "low"], "from_positive"),
        node("Sub", ["from_negative", "from_positive"], "bent"),
        node("Add", ["bent", "intercept"], "log_odds"),
        node("Sigmoid", ["log_odds"], GRAPH_OUTPUT),
    )
    return GraphPart(nodes, constants)


def _staircase(calibrator: "IsotonicCalibrator") -> GraphPart:
    """Count the edges at or below the margin and look the level up: no sum, so nothing is rounded."""
    # An edge that no margin reaches, so that a staircase of one step is a graph like any other.
    edges = [*calibrator.edges, float("inf")]
    levels = [*calibrator.levels, calibrator.levels[-1]]
    constants = (
        constant("column", [-1, 1], np.int64),
        constant("flat", [-1], np.int64),
        constant("edges", edges),
        constant("levels", levels),
        constant("across", [1], np.int64),
    )
    nodes = (
        node("Reshape", [MARGIN, "column"], "margin_column"),
        node("GreaterOrEqual", ["margin_column", "edges"], "passed"),
        node("Cast", ["passed"], "passed_once", to=INT64),
        node("ReduceSum", ["passed_once", "across"], "step", keepdims=0),
        node("Gather", ["levels", "step"], "level"),
        node("Reshape", [MARGIN, "flat"], "margin_flat"),
        node("IsNaN", ["margin_flat"], "is_no_margin"),
        node("Where", ["is_no_margin", "margin_flat", "level"], GRAPH_OUTPUT),
    )
    return GraphPart(nodes, constants)
