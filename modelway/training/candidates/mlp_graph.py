"""The network of `mlp` as ONNX nodes."""

import numpy as np

from modelway.optimize.graph import MARGIN, GraphPart, constant, node
from modelway.training.candidates.input_graph import Weights, codes_graph, numbers_graph, together
from modelway.training.candidates.scaling import Scaling


def network_graph(scaling: Scaling, weights: Weights) -> GraphPart:
    """Scale, look up, multiply: `KNOWN` (n, F) to `MARGIN` (n, 1).

    Args:
        scaling: Of the rows.
        weights: `table.weight`, and `dense.<i>.weight` and `.bias` of each layer.
    """
    numbers = numbers_graph(scaling) if scaling.numbers else GraphPart(())
    codes = _looked_up(scaling, weights) if scaling.categories else GraphPart(())
    parts = ["scaled", "missing"] * bool(scaling.numbers) + ["looked_up"] * bool(scaling.categories)
    joined = GraphPart((node("Concat", parts, "dense_0", axis=1),))
    return together(numbers, codes, joined, _dense(weights))


def _looked_up(scaling: Scaling, weights: Weights) -> GraphPart:
    table = weights["table.weight"]
    flat = GraphPart(
        (node("Reshape", ["embedded", "looked_up_shape"], "looked_up"),),
        (constant("looked_up_shape", [-1, len(scaling.categories) * table.shape[1]], np.int64),),
    )
    return together(codes_graph(scaling, table), flat)


def _dense(weights: Weights) -> GraphPart:
    layers = sum(name.startswith("dense.") and name.endswith(".weight") for name in weights)
    nodes, constants = [], []
    for layer in range(layers):
        last = layer == layers - 1
        constants += [constant(f"weight_{layer}", weights[f"dense.{layer}.weight"])]
        constants += [constant(f"bias_{layer}", weights[f"dense.{layer}.bias"])]
        inputs = [f"dense_{layer}", f"weight_{layer}", f"bias_{layer}"]
        nodes += [node("Gemm", inputs, MARGIN if last else f"sum_{layer}", transB=1)]
        nodes += [] if last else [node("Relu", [f"sum_{layer}"], f"dense_{layer + 1}")]
    return GraphPart(tuple(nodes), tuple(constants))
