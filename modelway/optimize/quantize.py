"""A network's matrix products in int8, with scales measured on real rows."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modelway.bundle.signature import GRAPH_INPUT
from modelway.contract import Verdict
from modelway.errors import ConfigError, UnsupportedGraphError
from modelway.optimize.same import same_answers

Matrix = npt.NDArray[np.float32]

CALIBRATION_ROWS = 1_000
_BATCH = 100
_PRODUCTS = ("MatMul", "Gemm")


@dataclass(frozen=True)
class Int8:
    """A quantised graph and what became of its answers."""

    content: bytes
    parity: Verdict
    calibration_rows: int


def int8(content: bytes, X: Matrix, *, limit: float, threshold: float | None = None) -> Int8:
    """Quantise a network's products statically and compare it with the original.

    Weights and activations are symmetric int8 in QDQ form (QuantizeLinear, DequantizeLinear), which
    ONNX Runtime fuses and TensorRT reads. Scales come from every other row, at most
    `CALIBRATION_ROWS`; the comparison runs on the rest, which the scales have not seen.

    Args:
        content: A graph with MatMul or Gemm.
        X: Encoded real rows, shape (n, F), n >= 2.
        limit: Largest allowed |probability difference|.
        threshold: Probability from which on a decision is positive.

    Returns:
        The graph with its verdict. A caller that serves it must look at the verdict.

    Raises:
        UnsupportedGraphError: The graph has no product, it is a tree ensemble or in int8,
            or what is missing reaches a product.
        ConfigError: There are not two rows, or nothing is known of those that set the scales.
    """
    _require_products(content)
    calibration, held_out = X[::2][:CALIBRATION_ROWS], X[1::2]
    if not len(held_out):
        raise ConfigError(f"{len(X)} rows", expected="two or more to calibrate and compare", remedy="--rows")
    _require_values(calibration)
    quantised = _quantised(content, calibration)
    verdict = same_answers(content, quantised, held_out, limit=limit, threshold=threshold)
    return Int8(quantised, verdict, len(calibration))


def _require_values(calibration: Matrix) -> None:
    """A scale is measured on numbers; of a row in which all is missing there are none."""
    if np.isnan(calibration).all():
        raise ConfigError(
            f"all values of the {len(calibration)} rows that set the scales of int8 are missing",
            expected="rows in which something is known",
            remedy="give real rows, with --rows, or a drift reference that has some",
        )


def _quantised(content: bytes, calibration: Matrix) -> bytes:
    import onnx  # noqa: PLC0415 - a second that the command line need not pay
    from onnxruntime import quantization as q  # noqa: PLC0415 - as above

    with tempfile.TemporaryDirectory(prefix="modelway-int8-") as folder:
        shaped, output = Path(folder) / "shaped.onnx", Path(folder) / "int8.onnx"
        q.quant_pre_process(
            onnx.load_from_string(content), shaped, skip_optimization=True, skip_symbolic_shape=True
        )
        try:
            q.quantize_static(
                shaped,
                output,
                _reader(calibration),
                quant_format=q.QuantFormat.QDQ,
                op_types_to_quantize=list(_PRODUCTS),
                activation_type=q.QuantType.QInt8,
                weight_type=q.QuantType.QInt8,
                per_channel=False,
                # TensorRT dequantises no int32, so biases stay float32.
                extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
            )
        except AssertionError as error:  # how ONNX Runtime says that what it measured is no number
            raise _no_scale(len(calibration)) from error
        model = onnx.load(output)
    changed: bytes = model.SerializeToString(deterministic=True)
    return changed


def _no_scale(rows: int) -> UnsupportedGraphError:
    return UnsupportedGraphError(
        f"a matrix product of the graph gets what is no number on some of {rows} rows: it has no scale there",
        expected="a graph that fills in what is missing before its products",
        remedy="fill it in, as exported networks do, or serve the graph in float32",
    )


def _reader(rows: Matrix) -> Any:
    from onnxruntime import quantization as q  # noqa: PLC0415 - as above

    class Reader(q.CalibrationDataReader):
        """Feeds the rows in batches, once."""

        def __init__(self) -> None:
            self._batches = iter(rows[i : i + _BATCH] for i in range(0, len(rows), _BATCH))

        def get_next(self) -> dict[str, Matrix] | None:
            """The next batch; None at the end."""
            batch = next(self._batches, None)
            return None if batch is None else {GRAPH_INPUT: np.ascontiguousarray(batch)}

    return Reader()


def _require_products(content: bytes) -> None:
    import onnx  # noqa: PLC0415 - as above

    operators = {n.op_type for n in onnx.load_from_string(content).graph.node}
    if not operators & set(_PRODUCTS):
        raise UnsupportedGraphError(
            "the graph has no matrix product to quantise",
            expected=" or ".join(_PRODUCTS),
            remedy="int8 is for networks; trees compare and add, which it would only blur",
        )
    if "QuantizeLinear" in operators:
        raise UnsupportedGraphError(
            "the graph is quantised already",
            expected="products in float32",
            remedy="quantise the graph that it was made from",
        )
