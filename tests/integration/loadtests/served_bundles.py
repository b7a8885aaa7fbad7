"""Small real bundles: signed, served by the real runtime, as slow as their graph is told to be."""

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx.parser
import polars as pl

from modelway.bundle.bundle import Bundle, write_bundle
from modelway.bundle.lineage import Lineage
from modelway.bundle.signature import Input, Signature
from modelway.bundle.signing import VERIFY_KEY_FILE, load_or_create_key
from modelway.contract import Slo
from serving.rollout.start import revision_of
from serving.rollout.target import Revision

GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
risk (float[N, 2] features) => (float[N] probability)
<int64 i0 = {{0}}, float zero = {{0}}, float size = {{{size}}}, int64[1] front = {{0}}>
{{
    amount = Gather<axis = 1>(features, i0)
    largest = ReduceMax<keepdims = 0>(amount)
    nothing = Mul(largest, zero)
    side = Add(nothing, size)
    count = Cast<to = 7>(side)
    count_1d = Unsqueeze(count, front)
    shape = Concat<axis = 0>(count_1d, count_1d)
    square = ConstantOfShape(shape)
    product = MatMul(square, square)
    total = ReduceSum<keepdims = 0>(product)
    shift = Mul(total, zero)
    shifted = Add(amount, shift)
    probability = Sigmoid(shifted)
}}
"""
"""P = sigmoid(amount), after multiplying two size x size matrices of zeros."""


FAILING_GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
risk (float[N, 2] features) => (float[N] probability)
<int64 i0 = {0}, float[1] table = {0.5}>
{
    amount = Gather<axis = 1>(features, i0)
    index = Cast<to = 7>(amount)
    probability = Gather(table, index)
}
"""
"""Raises inside ONNX Runtime for every row whose amount is 1 or more, or -2 or less."""


def reference(rows: int = 400) -> bytes:
    draw = np.random.default_rng(1)
    frame = pl.DataFrame(
        {
            "amount": draw.normal(size=rows).astype(np.float32),
            "state": draw.choice([0.0, 1.0, np.nan], rows).astype(np.float32),
        }
    ).with_columns(pl.lit(0.5).alias("probability"))
    out = BytesIO()
    frame.write_parquet(out)
    return out.getvalue()


def make_bundle(folder: Path, slo: Slo, *, size: int = 1, seed: int = 1, fails: bool = False) -> Bundle:
    """One more bundle under the keys in `folder`; `size` makes it slow, `seed` only makes it another."""
    graph = FAILING_GRAPH if fails else GRAPH.format(size=size)
    inputs = (
        Input(name="amount", kind="numeric"),
        Input(name="state", kind="category", vocabulary=("CA", "NY")),
    )
    return write_bundle(
        folder / f"bundles-{size}-{seed}-{fails}",
        onnx=onnx.parser.parse_model(graph).SerializeToString(),
        signature=Signature(model_name="risk", key="loan_id", label="bad", inputs=inputs, threshold=0.5),
        reference=reference(),
        slo=slo,
        card="# Risk\n",
        lineage=Lineage(
            use_case="risk",
            snapshot_id="0" * 64,
            as_of=datetime(2020, 1, 1, tzinfo=UTC),
            kind="hand",
            seed=seed,
        ),
        key=load_or_create_key(folder / "keys"),
    )


def revision(bundle: Bundle, folder: Path) -> Revision:
    return revision_of(bundle, verify_key=folder / "keys" / VERIFY_KEY_FILE)
