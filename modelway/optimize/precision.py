"""Matrix products in half precision, everything around them in float32.

TensorRT's networks are strongly typed: the graph says which number format each operator computes in.
Only products gain from half precision. Comparisons with thresholds, sums of money before their
logarithm and the final sigmoid keep float32, where half would send rows another way or overflow. In
the GEMM form of trees the products are of small whole numbers, which both formats hold exactly.
"""

from typing import Any, Literal

import numpy as np

from modelway.errors import UnsupportedGraphError

Half = Literal["fp16", "bf16"]
_ONNX = {"fp16": 10, "bf16": 16}
"""onnx.TensorProto.FLOAT16 and BFLOAT16."""
_FLOAT = 1
_PRODUCTS = ("MatMul", "Gemm")
_LARGEST = {"fp16": 65_504.0, "bf16": 3.38e38}
"""Larger weights would become infinite."""


def products_in(content: bytes, half: Half) -> bytes:
    """The same graph with its matrix products in half precision.

    Raises:
        UnsupportedGraphError: It has no product, or a weight that the format cannot hold.
    """
    import onnx  # noqa: PLC0415 - half a second that training's callers need not pay

    model = onnx.load_from_string(content)
    constants = {c.name: onnx.numpy_helper.to_array(c) for c in model.graph.initializer}
    conversion = _Conversion(half, constants)
    nodes = [new for node in model.graph.node for new in conversion.of(node)]
    if not conversion.converted:
        raise UnsupportedGraphError(
            f"the graph has no matrix product to compute in {half}",
            expected=" or ".join(_PRODUCTS),
            remedy="take fp32, or the gemm form of trees",
        )
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(conversion.constants.values())
    _drop_unread(model.graph)
    onnx.checker.check_model(model, full_check=True)
    changed: bytes = model.SerializeToString(deterministic=True)
    return changed


class _Conversion:
    """Nodes in, nodes out; remembers the constants it made."""

    def __init__(self, half: Half, constants: dict[str, Any]) -> None:
        self._half, self._given = half, constants
        self._cast: set[str] = set()
        self.constants: dict[str, Any] = {}
        self.converted = 0

    def of(self, node: Any) -> list[Any]:
        """The node itself, or the product between casts."""
        from onnx import helper  # noqa: PLC0415 - as above

        if node.op_type not in _PRODUCTS:
            return [node]
        self.converted += 1
        casts = [cast for name in node.input for cast in self._halved(name)]
        output = f"{node.output[0]}_{self._half}"
        product = type(node)()
        product.CopyFrom(node)
        product.input[:] = [f"{name}_{self._half}" for name in node.input]
        product.output[:] = [output]
        return [*casts, product, helper.make_node("Cast", [output], [node.output[0]], to=_FLOAT)]

    def _halved(self, name: str) -> list[Any]:
        """The casts that make `<name>_<half>` exist."""
        from onnx import helper  # noqa: PLC0415 - as above

        half = f"{name}_{self._half}"
        if half in self._cast or half in self.constants:
            return []
        if name not in self._given:
            self._cast.add(half)
            return [helper.make_node("Cast", [name], [half], name=half, to=_ONNX[self._half])]
        values = self._given[name]
        self._check(name, values)
        self.constants[half] = helper.make_tensor(half, _ONNX[self._half], values.shape, values.ravel())
        return []

    def _check(self, name: str, values: Any) -> None:
        largest = float(np.abs(values).max(initial=0))
        if largest > _LARGEST[self._half]:
            raise UnsupportedGraphError(
                f"constant {name!r} holds {largest:.3g}, which {self._half} cannot",
                expected=f"at most {_LARGEST[self._half]:.3g}",
                remedy="take bf16 or fp32",
            )


def _drop_unread(graph: Any) -> None:
    read = {name for node in graph.node for name in node.input}
    kept = [c for c in graph.initializer if c.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
