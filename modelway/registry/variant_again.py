"""Make a registered variant again from its origin, and hold the two against each other."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from modelway.bundle.bundle import MODEL_FILE, Bundle
from modelway.bundle.variant import Variant
from modelway.contract import Outcome, Reason, Verdict
from modelway.errors import IntegrityError
from modelway.optimize.scoring import Graph
from modelway.optimize.variants import libraries, make
from modelway.registry.variant_gates import Measured, Origin, measured
from modelway.registry.variant_packing import packed
from modelway.registry.variants import Workshop, same_splits
from modelway.training.encoding import encode

Matrix = npt.NDArray[np.float32]

if TYPE_CHECKING:
    from modelway.usecase import UseCase


def reproduce_variant(
    use_case: "UseCase", origin: Origin, variant: Variant, bundle: Bundle, shop: Workshop
) -> Verdict:
    """Make it again: nothing is taken from the cache of engines, and no test rows are used up.

    That the origin itself can be made again is its own question: `modelway reproduce` on that version.

    Args:
        use_case: The one that the lineage names, as it is defined now.
        origin: What the variant says that it was made from.
        variant: What the bundle says of itself.
        bundle: The registered variant.
        shop: Where the rows lie, and the key.

    Returns:
        PASS when bundle, graph and answers are the same. FAIL when answers differ beyond the recipe's limit,
        or bytes do though the libraries are the same. INCONCLUSIVE when other libraries gave other bytes.

    Raises:
        IntegrityError: The origin is not the bundle that it was made from, or its rows cannot be made again.
        EngineError: TensorRT is missing.
    """
    if origin.bundle.digest != variant.origin_digest:
        raise IntegrityError(
            f"{origin.version.reference} is bundle {origin.bundle.digest[:12]}",
            expected=f"bundle {variant.origin_digest[:12]}, which the variant was made from",
            remedy="restore the registered bundle",
        )
    with tempfile.TemporaryDirectory(prefix="modelway-again-") as folder:
        place = replace(shop, bundles=Path(folder) / "bundles", engines=Path(folder) / "engines")
        again, test = _again(use_case, origin, variant, place)
        reasons = list(_compared(bundle, again, variant, encode(test, bundle.signature)))
    return Verdict.of(reasons, {"bundle": bundle.digest, "again": again.digest})


def _again(
    use_case: "UseCase", origin: Origin, variant: Variant, shop: Workshop
) -> tuple[Bundle, pl.DataFrame]:
    recipe = variant.recipe
    made, splits = make(origin.bundle, recipe, shop.engines), same_splits(use_case, origin, shop)
    found: Measured = measured(use_case, origin, made, splits, recipe.limit, None, None)
    return packed(use_case, origin, recipe, found, shop.bundles, shop.key), splits.test.load()


def _compared(bundle: Bundle, again: Bundle, variant: Variant, X: Matrix) -> Iterator[Reason]:
    here = libraries(variant.recipe)
    yield _libraries(variant.libraries, here)
    yield _files(bundle, again, same_place=dict(variant.libraries) == here)
    before, after = (Graph(each.read(MODEL_FILE)).probabilities(X) for each in (bundle, again))
    largest, limit = float(np.abs(before - after).max()), variant.recipe.limit
    yield Reason(
        metric="probabilities",
        outcome=Outcome.PASS if largest <= limit else Outcome.FAIL,
        message=f"largest difference of a probability on {len(X):,} test rows: {largest:.2g}",
        found=largest,
        limit=limit,
        samples=len(X),
    )


def _libraries(then: Mapping[str, str], now: Mapping[str, str]) -> Reason:
    changed = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    other = [f"{name} {then.get(name)} -> {now.get(name)}" for name in changed]
    outcome = Outcome.INCONCLUSIVE if other else Outcome.PASS
    text = f"made elsewhere: {'; '.join(other)}" if other else "the same libraries"
    return Reason(metric="libraries", outcome=outcome, message=text)


def _files(bundle: Bundle, again: Bundle, *, same_place: bool) -> Reason:
    then, now = bundle.manifest.files, again.manifest.files
    other = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    if not other:
        text = f"all {len(then)} files are the same to the byte: bundle {again.digest[:12]}"
        return Reason(metric="bundle", outcome=Outcome.PASS, message=text)
    outcome = Outcome.FAIL if same_place else Outcome.INCONCLUSIVE
    text = f"bundle {again.digest[:12]} instead of {bundle.digest[:12]}; other: {', '.join(other)}"
    return Reason(metric="bundle", outcome=outcome, message=text)
