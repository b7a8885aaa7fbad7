"""One fit that a test kills and finishes. As a program it stops in the middle and waits for that."""

import hashlib
import sys
import time

import numpy as np
import torch

from modelway.bundle.signature import Input
from modelway.optimize.export import to_onnx
from modelway.training.calibration import Calibrator
from modelway.training.candidates import checkpoints, kind_named
from modelway.training.candidates.base import Epoch, Recipe, Rows

PARAMS = {
    "mlp": {"epochs": 8, "batch_size": 128, "hidden": 16, "patience": 2, "learning_rate": 0.02},
    "ft_transformer": {"epochs": 5, "batch_size": 128, "token": 8, "hidden": 8, "heads": 2},
}
INPUTS = (
    Input(name="a", kind="numeric"),
    Input(name="b", kind="numeric"),
    Input(name="c", kind="category", vocabulary=("p", "q", "r")),
)
BATCH = 18
"""Where the program stops: in the fourth epoch, each having five batches."""


def rows(n: int, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=(n, 2)), rng.integers(0, 3, n)]).astype(np.float32)
    X[rng.random(X.shape) < 0.1] = np.nan
    lean = np.nan_to_num(X[:, 0]) + (X[:, 2] == 1)
    return Rows(X, (rng.random(n) < 1 / (1 + np.exp(-lean))).astype(np.int8))


def fit(kind: str, seed: int = 3, on_epoch=lambda _: None) -> tuple[str, str]:
    """Hashes of the model and of its graph."""
    recipe = Recipe(INPUTS, PARAMS[kind], seed)
    model = kind_named(kind).fit(rows(600, 1), rows(300, 2), recipe, on_epoch)
    onnx = to_onnx(model, Calibrator(slope=1, intercept=0), INPUTS)
    return hashlib.sha256(model.dump()).hexdigest(), hashlib.sha256(onnx).hexdigest()


def main(kind: str) -> None:
    checkpoints.EVERY_S = 0.0
    step, calls = torch.optim.AdamW.step, 0

    def stopping(self, *arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == BATCH:
            sys.stdout.write("in the middle\n")
            sys.stdout.flush()
            time.sleep(600)
        return step(self, *arguments)

    torch.optim.AdamW.step = stopping
    fit(kind, on_epoch=_said)


def _said(epoch: Epoch) -> None:
    sys.stdout.write(f"epoch {epoch.number}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
