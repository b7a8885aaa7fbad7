"""What the log says of a variant when it is entered, and which variants are not."""

from typing import Any

from modelway.bundle.bundle import Bundle
from modelway.bundle.variant import Variant, variant_of
from modelway.contract import Verdict
from modelway.errors import GateError
from modelway.registry.ledger import Ledger
from modelway.registry.opinions import rejection

COMPARED = "variant."
"""How the checks of a variant against its origin are named."""


def variant_facts(ledger: Ledger, bundle: Bundle, verdict: Verdict) -> dict[str, Any]:
    """`variant` for the log; nothing for a bundle that a training packed.

    Args:
        ledger: Of the bundle's model.
        bundle: About to be entered.
        verdict: Of all gates on it.

    Raises:
        GateError: Its origin is not registered with that bundle, did not pass or was rejected; its verdict is
            anything but PASS, or nobody held it against its origin.
        BundleRejectedError: It does not say what it was made from.
    """
    variant = variant_of(bundle)
    if variant is None:
        return {}
    if refusal := _refusal(ledger, variant, verdict):
        raise GateError(
            f"{variant.words} is not registered: {refusal}",
            expected="a variant that kept every limit, of a registered version that did",
            remedy="`modelway optimize … --register` makes, measures and enters one",
        )
    return {"variant": variant.model_dump(mode="json")}


def _refusal(ledger: Ledger, variant: Variant, verdict: Verdict) -> str:
    origin = ledger.records.get(variant.origin_version)
    if origin is None or origin.digest != variant.origin_digest:
        return f"version {variant.origin_version} of {ledger.name} is not bundle {variant.origin_digest[:12]}"
    if not origin.verdict.passed or rejection(ledger.said(origin.version)):
        return f"version {origin.version} did not pass its gates, or was rejected"
    if not verdict.passed:
        return verdict.summary()
    compared = any(reason.metric.startswith(COMPARED) for reason in verdict.reasons)
    return "" if compared else "nobody compared its answers with those of its origin"
