"""Random tree ensembles as ONNX graphs, for properties."""

import numpy as np
from hypothesis import strategies as st
from onnx import TensorProto, helper

from modelway.optimize.graph import IR_VERSION

WIDTH = 3
THRESHOLDS = (-2.0, -0.5, 0.0, 0.25, 1.0, 3.0)
"""Few, so that rows drawn from them often lie on one."""
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT")


@st.composite
def trees(draw, max_depth=4, modes=MODES):
    """A nested tree: a weight, or (feature, mode, threshold, missing goes to true, true, false)."""
    if max_depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.integers(-9, 9))
    below = trees(max_depth=max_depth - 1, modes=modes)
    return (
        draw(st.integers(0, WIDTH - 1)),
        draw(st.sampled_from(modes)),
        draw(st.sampled_from(THRESHOLDS)),
        draw(st.booleans()),
        draw(below),
        draw(below),
    )


def attributes(forest, prefix, targets):
    """ONNX attributes of nested trees; a leaf's w adds w, -w, -3w to the targets."""
    columns = {name: [] for name in _NODE}
    leaves = []
    for number, tree in enumerate(forest):
        _add(columns, leaves, number, tree)
    each = [(*leaf, target) for leaf in leaves for target in range(targets)]
    return columns | {
        f"{prefix}_treeids": [tree for tree, _, _, _ in each],
        f"{prefix}_nodeids": [node for _, node, _, _ in each],
        f"{prefix}_ids": [target for _, _, _, target in each],
        f"{prefix}_weights": [float(weight * (1 - 2 * target)) for _, _, weight, target in each],
    }


_NODE = (
    "nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_modes", "nodes_values",
    "nodes_truenodeids", "nodes_falsenodeids", "nodes_missing_value_tracks_true",
)  # fmt: skip


def _add(columns, leaves, number, tree):
    node = sum(t == number for t in columns["nodes_treeids"])
    if isinstance(tree, int):
        _row(columns, number, node, (0, "LEAF", 0.0, False))
        leaves.append((number, node, tree))
        return node
    *question, true, false = tree
    place = len(columns["nodes_treeids"])
    _row(columns, number, node, question)
    columns["nodes_truenodeids"][place] = _add(columns, leaves, number, true)
    columns["nodes_falsenodeids"][place] = _add(columns, leaves, number, false)
    return node


def _row(columns, number, node, question):
    feature, mode, threshold, missing = question
    for name, value in zip(_NODE, (number, node, feature, mode, threshold, 0, 0, int(missing)), strict=True):
        columns[name].append(value)


def regressor(forest, targets=1, base=0.5, aggregate="SUM", **more):
    """`features` (n, WIDTH) -> `probability`, one sum a target; not a probability at all."""
    said = attributes(forest, "target", targets) | {
        "n_targets": targets,
        "base_values": [base] * targets,
        "aggregate_function": aggregate,
        "post_transform": "NONE",
    }
    node = helper.make_node(
        "TreeEnsembleRegressor", ["features"], ["probability"], "trees", domain="ai.onnx.ml", **said | more
    )
    return model(node, [("probability", TensorProto.FLOAT, ["n", targets])])


def classifier(forest, classes, after="NONE", **more):
    said = attributes(forest, "class", classes) | {
        "classlabels_int64s": [10 * i for i in range(classes)],
        "base_values": [0.25 * i for i in range(classes)],
        "post_transform": after,
    }
    node = helper.make_node(
        "TreeEnsembleClassifier", ["features"], ["label", "probability"], "trees",
        domain="ai.onnx.ml", **said | more,
    )  # fmt: skip
    outputs = [("label", TensorProto.INT64, ["n"]), ("probability", TensorProto.FLOAT, ["n", classes])]
    return model(node, outputs)


def model(node, outputs):
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", WIDTH])],
        [helper.make_tensor_value_info(*output) for output in outputs],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, ir_version=IR_VERSION, opset_imports=opsets).SerializeToString()


ROWS = st.lists(
    st.lists(
        st.sampled_from([*THRESHOLDS, np.nan, -9.0, 9.0, np.inf, -np.inf])
        | st.sampled_from([float(np.nextafter(np.float32(t), np.float32(np.inf))) for t in THRESHOLDS])
        | st.sampled_from([float(np.nextafter(np.float32(t), np.float32(-np.inf))) for t in THRESHOLDS]),
        min_size=WIDTH,
        max_size=WIDTH,
    ),
    min_size=1,
    max_size=12,
).map(lambda rows: np.array(rows, np.float32))
