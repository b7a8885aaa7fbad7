"""The network of `ft_transformer` as ONNX nodes."""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from modelway.optimize.graph import KNOWN, MARGIN, GraphPart, constant, node
from modelway.training.candidates.input_graph import Weights, codes_graph, numbers_graph, together
from modelway.training.candidates.scaling import Scaling

EPSILON = 1e-5
"""PyTorch's default for LayerNorm."""


def transformer_graph(scaling: Scaling, weights: Weights, heads: int) -> GraphPart:
    """Tokens, blocks, answer: `KNOWN` (n, F) to `MARGIN` (n, 1).

    Args:
        scaling: Of the rows.
        weights: Of `FtTransformer`, by their names in PyTorch.
        heads: Of the attention.
    """
    blocks = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    numbers = _number_tokens(scaling, weights) if scaling.numbers else GraphPart(())
    codes = codes_graph(scaling, weights["table.weight"]) if scaling.categories else GraphPart(())
    tokens = (
        ["cls_tokens"] + ["number_tokens"] * bool(scaling.numbers) + ["embedded"] * bool(scaling.categories)
    )
    joined = GraphPart((node("Concat", tokens, "block_0", axis=1),))
    shared = GraphPart((), (constant("cls_place", [0], np.int64), constant("cls_end", [1], np.int64)))
    length = 1 + len(scaling.numbers) + len(scaling.categories)
    walk = [_Block(weights, i, heads, length, is_last=i == blocks - 1).part() for i in range(blocks)]
    return together(shared, numbers, codes, _cls(weights), joined, *walk, _answer(weights, blocks))


def _number_tokens(scaling: Scaling, weights: Weights) -> GraphPart:
    names = ("value", "missing", "bias")
    tokens = GraphPart(
        (
            node("Unsqueeze", ["scaled", "token_axis"], "scaled_column"),
            node("Unsqueeze", ["missing", "token_axis"], "missing_column"),
            node("Mul", ["scaled_column", "token_value"], "value_tokens"),
            node("Mul", ["missing_column", "token_missing"], "missing_tokens"),
            node("Add", ["value_tokens", "missing_tokens"], "unbiased_tokens"),
            node("Add", ["unbiased_tokens", "token_bias"], "number_tokens"),
        ),
        (
            constant("token_axis", [2], np.int64),
            *(constant(f"token_{name}", weights[f"numbers.{name}"]) for name in names),
        ),
    )
    return together(numbers_graph(scaling), tokens)


def _cls(weights: Weights) -> GraphPart:
    """One [CLS] token a row."""
    cls = weights["cls"]
    nodes = (
        node("Shape", [KNOWN], "rows", start=0, end=1),
        node("Concat", ["rows", "cls_shape"], "cls_tokens_shape", axis=0),
        node("Expand", ["cls", "cls_tokens_shape"], "cls_tokens"),
    )
    return GraphPart(nodes, (constant("cls", cls), constant("cls_shape", cls.shape[1:], np.int64)))


def _answer(weights: Weights, blocks: int) -> GraphPart:
    nodes = (
        node("Squeeze", [f"block_{blocks}", "cls_end"], "cls_found"),
        node(
            "LayerNormalization",
            ["cls_found", "norm_scale", "norm_bias"],
            "cls_normed",
            axis=-1,
            epsilon=EPSILON,
        ),
        node("Relu", ["cls_normed"], "cls_positive"),
        node("Gemm", ["cls_positive", "answer_weight", "answer_bias"], MARGIN, transB=1),
    )
    constants = (
        constant("norm_scale", weights["norm.weight"]),
        constant("norm_bias", weights["norm.bias"]),
        constant("answer_weight", weights["answer.weight"]),
        constant("answer_bias", weights["answer.bias"]),
    )
    return GraphPart(nodes, constants)


class _Block:
    """Nodes of one block; every name begins with the block's own."""

    def __init__(self, weights: Weights, number: int, heads: int, tokens: int, *, is_last: bool) -> None:
        self.weights, self.number, self.heads, self.tokens = weights, number, heads, tokens
        self.is_last, self.constants = is_last, list[object]()
        self.width = len(self._weight("norm_2.weight"))

    def part(self) -> GraphPart:
        """`block_<i>` to `block_<i + 1>`."""
        nodes = [*self._attention(), *self._gated()]
        return GraphPart(tuple(nodes), tuple(self.constants))

    def _weight(self, name: str) -> npt.NDArray[np.float32]:
        return self.weights[f"blocks.{self.number}.{name}"]

    def _name(self, name: str) -> str:
        return f"block_{self.number}_{name}"

    def _add(self, name: str, values: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        self.constants.append(constant(self._name(name), values, dtype))
        return self._name(name)

    def _attention(self) -> Iterator[object]:
        into, name = f"block_{self.number}", self._name
        normed = into if self.number == 0 else name("normed_1")
        if normed != into:
            yield self._norm("norm_1", into, normed)
        asking, kept = (name("asking"), name("kept")) if self.is_last else (normed, into)
        if self.is_last:
            yield node("Slice", [normed, "cls_place", "cls_end", "cls_end"], asking)
            yield node("Slice", [into, "cls_place", "cls_end", "cls_end"], kept)
        asked = 1 if self.is_last else self.tokens
        yield from self._split("query", asking, asked, [0, 2, 1, 3])
        yield from self._split("key", normed, self.tokens, [0, 2, 3, 1])
        yield from self._split("value", normed, self.tokens, [0, 2, 1, 3])
        yield from self._weighed(asked)
        yield from self._linear("joined", name("found"), name("joined"))
        yield node("Add", [kept, name("joined")], name("attended"))

    def _weighed(self, asked: int) -> Iterator[object]:
        name = self._name
        scale = self._add("scale", math.sqrt(self.width // self.heads))
        shape = self._add("found_shape", [0, asked, self.width], np.int64)
        yield node("MatMul", [name("query_heads"), name("key_heads")], name("products"))
        yield node("Div", [name("products"), scale], name("scores"))
        yield node("Softmax", [name("scores")], name("attention"), axis=-1)
        yield node("MatMul", [name("attention"), name("value_heads")], name("values"))
        yield node("Transpose", [name("values")], name("values_by_token"), perm=[0, 2, 1, 3])
        yield node("Reshape", [name("values_by_token"), shape], name("found"))

    def _gated(self) -> Iterator[object]:
        name = self._name
        yield self._norm("norm_2", name("attended"), name("normed_2"))
        yield from self._linear("wide", name("normed_2"), name("wide"))
        half = self._weight("narrow.weight").shape[1]
        axis, low, middle, high = (
            self._add(f"gate_{n}", [value], np.int64)
            for n, value in (("axis", 2), ("low", 0), ("middle", half), ("high", 2 * half))
        )
        yield node("Slice", [name("wide"), low, middle, axis], name("gated"))
        yield node("Slice", [name("wide"), middle, high, axis], name("gate"))
        yield node("Relu", [name("gate")], name("open"))
        yield node("Mul", [name("gated"), name("open")], name("passed"))
        yield from self._linear("narrow", name("passed"), name("narrow"))
        yield node("Add", [name("attended"), name("narrow")], f"block_{self.number + 1}")

    def _split(self, layer: str, source: str, tokens: int, order: list[int]) -> Iterator[object]:
        """A linear layer, its output by head."""
        name = self._name
        shape = self._add(f"{layer}_shape", [0, tokens, self.heads, self.width // self.heads], np.int64)
        yield from self._linear(layer, source, name(layer))
        yield node("Reshape", [name(layer), shape], name(f"{layer}_by_token"))
        yield node("Transpose", [name(f"{layer}_by_token")], name(f"{layer}_heads"), perm=order)

    def _linear(self, layer: str, source: str, output: str) -> Iterator[object]:
        weight = self._add(f"{layer}_weight", self._weight(f"{layer}.weight").T)
        bias = self._add(f"{layer}_bias", self._weight(f"{layer}.bias"))
        yield node("MatMul", [source, weight], f"{output}_unbiased")
        yield node("Add", [f"{output}_unbiased", bias], output)

    def _norm(self, layer: str, source: str, output: str) -> object:
        scale = self._add(f"{layer}_scale", self._weight(f"{layer}.weight"))
        bias = self._add(f"{layer}_bias", self._weight(f"{layer}.bias"))
        return node("LayerNormalization", [source, scale, bias], output, axis=-1, epsilon=EPSILON)
