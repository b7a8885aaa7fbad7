"""Which variant of a graph is recommended for this machine."""

from collections.abc import Sequence

import pytest

from modelway.optimize.compare import BATCHES, Variant, choose

GRAPH_US = (10.0, 20.0, 200.0, 3000.0)


def timed(
    name: str, p50_us: Sequence[float], outcome: str = "pass", *, only_compiled: bool = False
) -> Variant:
    latency = [{"rows": rows, "p50_us": took} for rows, took in zip(BATCHES, p50_us, strict=True)]
    return Variant(name, outcome, "", latency=latency, only_compiled=only_compiled)


GRAPH = timed("onnx", GRAPH_US)


@pytest.mark.parametrize(
    ("p50_us", "chosen"),
    [
        ((5.0, 15.0, 150.0, 2000.0), "other"),
        ((5.0, 20.0, 200.0, 3000.0), "other"),
        ((9.6, 15.0, 150.0, 2000.0), "onnx"),
        ((5.0, 15.0, 201.0, 2000.0), "onnx"),
        ((5.0, 15.0, 150.0, 40000.0), "onnx"),
    ],
)
def test_another_variant_is_taken_where_it_is_faster_for_one_row_and_slower_for_none(
    p50_us: Sequence[float], chosen: str
) -> None:
    assert choose([GRAPH, timed("other", p50_us)])[0] == chosen


def test_what_is_slower_in_a_batch_does_not_hide_what_is_not() -> None:
    hasty, steady = timed("hasty", (1.0, 2.0, 400.0, 9000.0)), timed("steady", (8.0, 16.0, 160.0, 2400.0))
    assert choose([GRAPH, hasty, steady]) == ("steady", "passes, and takes 0.80 of onnx's time for one row")


def test_what_only_a_compiler_takes_is_never_recommended() -> None:
    fast = (1.0, 2.0, 3.0, 4.0)
    assert choose([GRAPH, timed("tensor-gemm", fast, only_compiled=True)])[0] == "onnx"


@pytest.mark.parametrize("outcome", ["fail", "inconclusive", "refused"])
def test_what_is_not_proven_is_never_recommended(outcome: str) -> None:
    fast = (1.0, 2.0, 3.0, 4.0)
    assert choose([GRAPH, timed("other", fast, outcome)])[0] == "onnx"
    assert choose([timed("onnx", GRAPH_US, outcome)])[0] == "none"
