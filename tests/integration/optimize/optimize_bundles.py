"""Trained models and their bundles, for tests that compile and serve them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from modelway.bundle.bundle import write_bundle
from modelway.bundle.lineage import Lineage
from modelway.bundle.signing import VERIFY_KEY_FILE, load_or_create_key
from modelway.contract import Slo
from modelway.optimize.export import to_onnx
from modelway.training.calibration import Calibrator
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import Recipe, ignore_epoch
from modelway.training.encoding import encode, signature_from
from modelway.training.final import rows_of

CALIBRATOR = Calibrator(slope=0.8, intercept=-0.3)
PARAMS = {
    "hgb": {"max_iter": 10, "min_samples_leaf": 10},
    "mlp": {"epochs": 3, "batch_size": 64, "hidden": 16},
}


@dataclass
class Model:
    kind: str
    fitted: Any
    signature: Any
    X: Any


def trained(kind, use_case, rows):
    signature = signature_from(use_case, rows, 0.25)
    X = encode(rows, signature)
    recipe = Recipe(signature.columns, PARAMS[kind], 1)
    fitted = kind_named(kind).fit(rows_of(rows, signature), None, recipe, ignore_epoch)
    return Model(kind, fitted, signature, X)


def bundle_of(folder, model):
    reference = folder / "reference.parquet"
    pl.DataFrame(model.X, schema=list(model.signature.names)).write_parquet(reference)
    return write_bundle(
        folder / "bundles",
        onnx=to_onnx(model.fitted, CALIBRATOR, model.signature.inputs, model.signature.derived),
        signature=model.signature,
        reference=reference,
        slo=Slo(latency_limit_ms=50, rate_rps=10),
        card="# A model of loans",
        lineage=Lineage(
            use_case="loans", snapshot_id="s", as_of=datetime(2005, 1, 1, tzinfo=UTC), kind=model.kind, seed=1
        ),
        key=load_or_create_key(folder / "keys"),
    )


def key_file(folder):
    load_or_create_key(folder / "keys")
    return folder / "keys" / VERIFY_KEY_FILE
