"""From a trained model to a signed bundle: what goes in besides the graph."""

import io
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modelway.bundle.bundle import Bundle, write_bundle
from modelway.bundle.canonical import canonical_json
from modelway.bundle.lineage import Lineage
from modelway.bundle.online import ONLINE_FILE
from modelway.bundle.policy import POLICY_FILE, ServingPolicy
from modelway.bundle.sbom import SBOM_FILE, sbom
from modelway.contract import Verdict
from modelway.data.frames import FrameRef
from modelway.evaluation.record import Evaluation
from modelway.features.by_key import described
from modelway.features.recent import known_between
from modelway.optimize.scoring import Graph
from modelway.registry.card import model_card
from modelway.registry.card_page import CARD_PAGE_FILE, card_page
from modelway.training.artifacts import Trained
from modelway.training.encoding import encode
from modelway.usecase import serving_policy

if TYPE_CHECKING:
    from modelway.usecase import UseCase

REFERENCE_PERIOD = timedelta(days=365)
REFERENCE_ROWS = 20_000
"""Enough for a KS distance of 0.01 at 5 %; more only makes the bundle larger."""


def drift_reference(use_case: "UseCase", history: pl.LazyFrame, trained: Trained) -> bytes:
    """The rows that live traffic will be held against: those of the year before `as_of`, as Parquet.

    Not the training rows: their labels had to mature, so they are older by the label's horizon, and
    traffic would differ from them on the first day (docs/adr/0005). No label is needed.

    Args:
        use_case: Says what the features are.
        history: The snapshot as of `trained.as_of`.
        trained: Gives the encoding and the scores.

    Returns:
        Parquet bytes: one float32 column per input, and `probability`.

    Raises:
        EmptyWindowError: No row in the year before `as_of`.
    """
    until, since = trained.as_of, trained.as_of - REFERENCE_PERIOD
    rows = known_between(use_case, history, since=since, until=until, newest=REFERENCE_ROWS)
    matrix = encode(rows, trained.signature)
    reference = pl.DataFrame(matrix, schema=list(trained.signature.names))
    scored = reference.with_columns(
        pl.Series("probability", Graph(trained.onnx.read()).probabilities(matrix))
    )
    return _parquet(scored)


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=False)
    return buffer.getvalue()


def lineage_of(
    trained: Trained, evaluation: Evaluation, training_set: FrameRef, window_months: int
) -> Lineage:
    """Where the model comes from, without anything that differs when it is made again."""
    return Lineage(
        use_case=trained.use_case,
        snapshot_id=trained.snapshot_id,
        as_of=trained.as_of,
        kind=trained.kind,
        params=trained.params,
        seed=trained.seed,
        calibrator=trained.calibrator.method,
        git_commit=trained.environment.git_commit,
        lock_sha256=trained.environment.lock_sha256,
        training_set_sha256=training_set.sha256,
        training_rows=training_set.rows,
        window_months=window_months,
        replay=trained.replay,
        metrics=evaluation.values(),
        libraries=trained.environment.libraries,
    )


@dataclass(frozen=True)
class Stores:
    """Where a bundle goes, and who signs it."""

    bundles: Path
    key: Ed25519PrivateKey


def pack(  # noqa: PLR0913, PLR0917 - a bundle joins what every station before it has made
    use_case: "UseCase",
    trained: Trained,
    evaluation: Evaluation,
    verdict: Verdict,
    training_set: FrameRef,
    history: pl.LazyFrame,
    stores: Stores,
) -> Bundle:
    """Write and sign the bundle of one trained model.

    Args:
        use_case: Its SLO and description go in.
        trained: The graph and its signature.
        evaluation: On held-out rows; for the card and the lineage.
        verdict: Of all gates; for the card.
        training_set: What it learnt from.
        history: The snapshot as of `trained.as_of`, for the drift reference.
        stores: Folder and key.

    Raises:
        EmptyWindowError: No recent row to make a drift reference of.
        StorageError: The folder cannot be written.
    """
    lineage = lineage_of(trained, evaluation, training_set, use_case.training_window_months)
    card = model_card(use_case, lineage, evaluation, verdict)
    return write_bundle(
        stores.bundles,
        onnx=trained.onnx.read(),
        signature=trained.signature,
        reference=drift_reference(use_case, history, trained),
        slo=use_case.slo,
        card=card,
        lineage=lineage,
        key=stores.key,
        extras=_extras(use_case) | {CARD_PAGE_FILE: card_page(card).encode()},
    )


def _extras(use_case: "UseCase") -> dict[str, bytes]:
    """What a server runs on; how it is served and where its online features lie, where that is asked for."""
    policy, online = serving_policy(use_case), described(use_case)
    extras = {SBOM_FILE: sbom()}
    extras |= {} if policy == ServingPolicy() else {POLICY_FILE: canonical_json(policy)}
    return extras if online is None else extras | {ONLINE_FILE: canonical_json(online)}
