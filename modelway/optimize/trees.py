"""A graph's tree ensemble in standard operators, so that TensorRT, which has no trees, can run it."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from modelway.bundle.signature import GRAPH_INPUT
from modelway.contract import Verdict
from modelway.errors import UnsupportedGraphError
from modelway.optimize.forest import OPERATORS, Forest, read_forest, unsupported
from modelway.optimize.graph import GraphPart, constant, node
from modelway.optimize.same import same_answers
from modelway.optimize.tree_forms import PREFIX, cells, gemm_form, traversal_form

Form = Literal["gemm", "traversal"]
MAX_LEAVES = 32
"""Up to this many leaves a tree, finding the leaf by a product is cheaper than walking to it."""
MAX_CELLS = 262_144
"""1 MiB of float32 matrices: more does not stay in a GPU's fast memory, and walking is cheaper."""
MAX_DEPTH = 64
"""A walk is unrolled: a graph of more steps than these is no longer sensible to compile."""
PROBE_ROWS = 2_000
SAME_PROBABILITY = 1e-5
"""The forms pick the very same leaves; only the order in which their float32 weights are added differs."""


@dataclass(frozen=True)
class TensorForm:
    """A graph without tree nodes, and the proof that it answers the same."""

    content: bytes
    form: Form
    why: str
    """The reason for this form, in one line."""
    parity: Verdict


def tree_nodes(content: bytes) -> list[Any]:
    """The tree ensembles of a graph."""
    import onnx  # noqa: PLC0415 - half a second that training's callers need not pay

    return [n for n in onnx.load_from_string(content).graph.node if n.op_type in OPERATORS]


def tensor_form(content: bytes, form: Form | None = None) -> TensorForm:
    """Replace the graph's tree ensemble by standard operators and compare both graphs.

    Args:
        content: A graph of `export.to_onnx` with one tree ensemble.
        form: None takes the one `choose` says.

    Returns:
        The new graph with a verdict: compared on `PROBE_ROWS` rows whose values lie on, just above and
        just below the trees' own thresholds, are missing, or are far away. A caller that serves it
        must look at the verdict.

    Raises:
        UnsupportedGraphError: The graph has no tree ensemble or several, or one that has no such form.
    """
    forest, chosen, why = _planned(content, form)
    changed = _replaced(content, forest, chosen)
    rows = boundary_rows(forest, _width(content), PROBE_ROWS)
    return TensorForm(changed, chosen, why, same_answers(content, changed, rows, limit=SAME_PROBABILITY))


def converted(content: bytes, form: Form | None = None) -> bytes:
    """`tensor_form` without the comparison: for graphs that give something else than probabilities."""
    forest, chosen, _ = _planned(content, form)
    return _replaced(content, forest, chosen)


def choose(forest: Forest) -> tuple[Form, str]:
    """The form that suits these trees, and why, in one line."""
    leaves, size = int((~forest.is_leaf).sum(axis=1).max()) + 1, cells(forest)
    shape = f"{forest.trees} trees, at most {leaves} leaves and {forest.depth} levels"
    if leaves > MAX_LEAVES:
        return "traversal", f"{shape}: above {MAX_LEAVES} leaves a walk costs less than products"
    if size > MAX_CELLS:
        return "traversal", f"{shape}: the products would take {size * 4 / 2**20:.1f} MiB of matrices"
    return "gemm", f"{shape}: the leaf is found by one product of {size * 4 / 1024:.0f} KiB"


def boundary_rows(forest: Forest, width: int, rows: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Rows that a wrong comparison would send the other way: shape (rows, width), no infinities.

    A value is a threshold of its own column, the float32 beside one, NaN, a small whole number (a
    category's code) or a number from a wide range.
    """
    rng = np.random.default_rng(seed)
    X = np.round(rng.normal(0, 3, (rows, width))).astype(np.float32)
    for column in range(width):
        X[:, column] = _values(forest, column, X[:, column], rng)
    X[rng.random(X.shape) < 0.1] = np.nan  # noqa: PLR2004 - one value in ten, as in real tables
    return X


def _values(
    forest: Forest, column: int, small: npt.NDArray[np.float32], rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    used = forest.threshold[~forest.is_leaf & (forest.feature == column)]
    used = used[np.isfinite(used)]
    far = rng.lognormal(0, 6, len(small)).astype(np.float32) * rng.choice([-1, 1], len(small))
    picks = [small, far.astype(np.float32)]
    if len(used):
        on = rng.choice(used, len(small))
        picks += [on, np.nextafter(on, np.float32(np.inf)), np.nextafter(on, np.float32(-np.inf))]
    found: npt.NDArray[np.float32] = np.choose(rng.integers(0, len(picks), len(small)), picks)
    return np.where(np.isfinite(found), found, np.float32(0))


def _planned(content: bytes, form: Form | None) -> tuple[Forest, Form, str]:
    nodes = tree_nodes(content)
    if len(nodes) != 1:
        raise UnsupportedGraphError(
            f"the graph has {len(nodes)} tree ensembles",
            expected="exactly one",
            remedy="only graphs of tree models have a tensor form; others need none",
        )
    forest = read_forest(nodes[0])
    chosen, why = choose(forest)
    if form is not None and form != chosen:
        chosen, why = form, f"asked for; by itself it would be {chosen} ({why})"
    if chosen == "traversal" and forest.depth > MAX_DEPTH:
        raise unsupported(nodes[0], f"has {forest.depth} levels; a walk of more than {MAX_DEPTH} is no graph")
    return forest, chosen, why


def _replaced(content: bytes, forest: Forest, form: Form) -> bytes:
    import onnx  # noqa: PLC0415 - as above

    model = onnx.load_from_string(content)
    nodes = list(model.graph.node)
    place = next(i for i, n in enumerate(nodes) if n.op_type in OPERATORS)
    part = _standing_in(nodes[place], forest, form)
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:place], *part.nodes, *nodes[place + 1 :]])
    model.graph.initializer.extend(part.constants)
    others = [opset for opset in model.opset_import if opset.domain != "ai.onnx.ml"]
    del model.opset_import[:]
    model.opset_import.extend(others)
    onnx.checker.check_model(model, full_check=True)
    changed: bytes = model.SerializeToString(deterministic=True)
    return changed


def _standing_in(ensemble: Any, forest: Forest, form: Form) -> GraphPart:
    """Nodes with the ensemble's own in- and outputs."""
    make = gemm_form if form == "gemm" else traversal_form
    if ensemble.op_type == OPERATORS[0]:
        _require(ensemble, {"NONE"})
        return make(forest, ensemble.input[0], ensemble.output[0])
    trees, scores = make(forest, ensemble.input[0], f"{PREFIX}raw"), _scores(ensemble)
    return GraphPart((*trees.nodes, *scores.nodes), (*trees.constants, *scores.constants))


_AFTER = {"NONE": "Identity", "LOGISTIC": "Sigmoid", "SOFTMAX": "Softmax"}


def _scores(classifier: Any) -> GraphPart:
    """A classifier's two outputs: the label of the largest sum, and what its sums become."""
    said = {a.name: a for a in classifier.attribute}
    if "classlabels_int64s" not in said:
        raise unsupported(classifier, "has text labels")
    if len(said["classlabels_int64s"].ints) < 3:  # noqa: PLR2004 - ONNX Runtime makes two scores of one its own way
        raise unsupported(classifier, "tells two classes apart; export log-odds with a regressor instead")
    after = _require(classifier, set(_AFTER))
    label, scores = classifier.output
    constants = (constant(f"{PREFIX}labels", list(said["classlabels_int64s"].ints), np.int64),)
    nodes = (
        node("ArgMax", [f"{PREFIX}raw"], f"{PREFIX}largest", axis=1, keepdims=0),
        node("Gather", [f"{PREFIX}labels", f"{PREFIX}largest"], label, axis=0),
        node(_AFTER[after], [f"{PREFIX}raw"], scores),
    )
    return GraphPart(nodes, constants)


def _require(ensemble: Any, allowed: set[str]) -> str:
    after = next((a.s.decode() for a in ensemble.attribute if a.name == "post_transform"), "NONE")
    if after not in allowed:
        raise unsupported(ensemble, f"ends in {after}")
    return after


def _width(content: bytes) -> int:
    import onnx  # noqa: PLC0415 - as above

    (features,) = (i for i in onnx.load_from_string(content).graph.input if i.name == GRAPH_INPUT)
    return int(features.type.tensor_type.shape.dim[1].dim_value)
