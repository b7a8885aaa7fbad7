"""A revision that is right and slow: the same answers, after a long detour through useless arithmetic.

Offline gates cannot see it. Only the canary can.
"""

from pathlib import Path
from typing import Any

import numpy as np

from modelway.bundle.signature import GRAPH_OUTPUT

_WIDTH = 512
_SEED = 0


def slow_down(graph: Path, target: Path, *, products: int = 24) -> Path:
    """Write a copy of `graph` that multiplies `products` 512 x 512 matrices for every request.

    The product hangs on the request's shape, so that no optimiser can compute it in advance, and its
    maximum times zero is added to the answer, so that none can leave it out.

    Args:
        graph: An ONNX file with the output `probability`.
        target: Where the slow copy goes.
        products: Matrix products per request, about 2-6 ms each on one core.
    """
    import onnx  # noqa: PLC0415 - only the demo's last act needs it

    model = onnx.load(graph)
    answer = _rename_answer(model)
    model.graph.initializer.extend(_constants())
    model.graph.node.extend(_detour(model.graph.input[0].name, products, answer))
    onnx.save(model, target)
    return target


def _rename_answer(model: Any) -> str:
    renamed = f"{GRAPH_OUTPUT}_at_once"
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == GRAPH_OUTPUT:
                    names[index] = renamed
    return renamed


def _constants() -> list[Any]:
    from onnx import numpy_helper  # noqa: PLC0415 - as above

    weights = np.random.default_rng(_SEED).normal(size=(_WIDTH, _WIDTH)).astype(np.float32) / _WIDTH**0.5
    return [
        numpy_helper.from_array(weights, "detour_weights"),
        numpy_helper.from_array(np.zeros((), np.float32), "detour_zero"),
        numpy_helper.from_array(np.array([1], np.int64), "detour_last"),
        numpy_helper.from_array(np.array([_WIDTH, _WIDTH], np.int64), "detour_shape"),
    ]


def _detour(source: str, products: int, answer: str) -> list[Any]:
    from onnx import TensorProto, helper  # noqa: PLC0415 - as above

    node = helper.make_node
    nodes = [
        node("Shape", [source], ["detour_dims"]),
        node("Gather", ["detour_dims", "detour_last"], ["detour_columns"]),
        node("Cast", ["detour_columns"], ["detour_seed"], to=TensorProto.FLOAT),
        node("Expand", ["detour_seed", "detour_shape"], ["detour_0"]),
    ]
    nodes += [node("MatMul", [f"detour_{i}", "detour_weights"], [f"detour_{i + 1}"]) for i in range(products)]
    return [
        *nodes,
        node("ReduceMax", [f"detour_{products}"], ["detour_peak"], keepdims=0),
        node("Mul", ["detour_peak", "detour_zero"], ["detour_nothing"]),
        node("Add", [answer, "detour_nothing"], [GRAPH_OUTPUT]),
    ]


def register_slow(name: str) -> Any:
    """Register the champion's slow twin: a new version whose gates pass, because it is right.

    Returns:
        The `ModelVersion`, in Staging.
    """
    from modelway.bundle.bundle import write_bundle  # noqa: PLC0415 - as above
    from modelway.bundle.signing import load_or_create_key  # noqa: PLC0415 - as above
    from modelway.home import Home  # noqa: PLC0415 - as above
    from stacks.active import bundles_folder, registry  # noqa: PLC0415 - as above

    champion, bundle = registry().get(name, "champion"), registry().bundle(name, "champion")
    graph = slow_down(bundle.model, bundles_folder().parent / "slow.onnx")
    twin = write_bundle(
        bundles_folder(),
        onnx=graph,
        signature=bundle.signature,
        reference=bundle.reference,
        slo=bundle.slo,
        card=bundle.card.read_text("utf-8"),
        lineage=bundle.lineage,
        key=load_or_create_key(Home.current().keys),
    )
    evaluation = registry().evaluation(name, champion.version)
    return registry().register(
        twin, evaluation=evaluation, verdict=champion.verdict, run_id=champion.run_id, who="demo"
    )
