"""A revision that is right and slow: the same answers, after a long detour through useless arithmetic.

Offline gates cannot see it. Only the canary can.
"""

from typing import Any


def register_slow(name: str) -> Any:
    """Register the champion's slow twin: a new version whose gates pass, because it is right.

    Returns:
        The `ModelVersion`, in Staging.
    """
    from modelway.bundle.bundle import write_bundle  # noqa: PLC0415 - ZenML, MLflow, seconds
    from modelway.bundle.signing import load_or_create_key  # noqa: PLC0415 - as above
    from modelway.home import Home  # noqa: PLC0415 - as above
    from stacks.active import bundles_folder, registry  # noqa: PLC0415 - as above
    from stacks.faults import slow_down  # noqa: PLC0415 - as above

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
