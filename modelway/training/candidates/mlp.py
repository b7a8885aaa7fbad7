"""A small neural network: an embedding per category, standardised numbers with missing indicators."""

import copy
import io
import math
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from modelway.bundle.signature import Input
from modelway.errors import SnapshotCorruptError
from modelway.optimize.graph import GraphPart
from modelway.training.candidates.base import (
    Epoch,
    Margins,
    OnEpoch,
    Params,
    Recipe,
    Rows,
    complete,
)
from modelway.training.candidates.mlp_graph import network_graph
from modelway.training.encoding import Floats, code_limits

CLIP = 8.0
"""Standard deviations beyond which a number counts as no further away: keeps ±infinity finite."""


class Mlp:
    """A multi-layer perceptron in PyTorch, trained by AdamW on log loss."""

    rounds_param: ClassVar[str] = "epochs"
    defaults: ClassVar[Params] = {
        "hidden": 64,
        "layers": 2,
        "embedding": 4,
        "dropout": 0.1,
        "learning_rate": 3e-3,
        "weight_decay": 1e-4,
        "batch_size": 512,
        "epochs": 12,
        "patience": 3,
    }

    def fit(self, train: Rows, validation: Rows | None, recipe: Recipe, on_epoch: OnEpoch) -> "FittedMlp":
        """Train; with validation rows, keep the weights of the epoch with the lowest validation loss."""
        params = complete("mlp", self.defaults, recipe.params)
        with _deterministic(recipe.seed):
            network = Network(Scaling.of(train.X, recipe.inputs), params)
            network.start_at(float(train.y.mean()))
            rounds = _Training(network, params, on_epoch).run(train, validation)
        return FittedMlp(network, rounds)

    def load(self, content: bytes) -> "FittedMlp":
        """Read weights back; `weights_only` keeps code out of the file.

        Raises:
            SnapshotCorruptError: The file does not hold a network of ours.
        """
        try:
            stored = torch.load(io.BytesIO(content), weights_only=True)
            network = Network(Scaling(**stored["scaling"]), stored["params"])
            network.load_state_dict(stored["weights"])
        except (RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
            raise SnapshotCorruptError(f"{len(content)} bytes hold no trained network: {error}") from error
        return FittedMlp(network, stored["rounds"])


class Scaling:
    """How a row becomes the network's input: learnt from the train rows, the same in the graph."""

    def __init__(
        self, numbers: list[int], categories: list[int], sizes: list[int], **moments: list[float]
    ) -> None:
        """Columns of numbers and categories, vocabulary sizes; `mean` and `deviation` per number."""
        self.numbers, self.categories, self.sizes = numbers, categories, sizes
        self.mean, self.deviation = moments["mean"], moments["deviation"]

    @classmethod
    def of(cls, X: Floats, inputs: tuple[Input, ...]) -> "Scaling":
        """Measure the numbers on a signed log scale: sums of money span six orders of magnitude."""
        numbers = [i for i, column in enumerate(inputs) if column.kind == "numeric"]
        categories = [i for i, column in enumerate(inputs) if column.kind == "category"]
        values = np.ma.masked_invalid(signed_log(X[:, numbers]))
        mean, deviation = values.mean(axis=0).filled(0.0), values.std(axis=0).filled(1.0)
        return cls(
            numbers,
            categories,
            [int(size) for size in code_limits(inputs)[categories]],
            mean=[float(m) for m in mean],
            deviation=[float(d) if d > 0 else 1.0 for d in deviation],
        )

    @property
    def offsets(self) -> list[int]:
        """Where each category's rows begin in the one embedding table; its last row is "unknown"."""
        return [0, *np.cumsum([size + 1 for size in self.sizes]).tolist()]


def signed_log(values: Floats) -> Floats:
    """sign(x) · ln(1 + |x|) in float32."""
    scaled: Floats = np.sign(values) * np.log(np.float32(1) + np.abs(values))
    return scaled


class Network(nn.Module):
    """Embeddings and numbers side by side, then dense layers down to one log-odds."""

    def __init__(self, scaling: Scaling, params: Mapping[str, Any]) -> None:
        super().__init__()
        self.scaling, self.params = scaling, dict(params)
        embedding = int(params["embedding"])
        self.table = nn.Embedding(max(1, scaling.offsets[-1]), embedding)
        width = 2 * len(scaling.numbers) + embedding * len(scaling.categories)
        hidden = [int(params["hidden"])] * int(params["layers"])
        sizes = [width, *hidden, 1]
        self.dense = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.dropout = nn.Dropout(float(params["dropout"]))

    def start_at(self, base_rate: float) -> None:
        """Begin with the base rate as answer, and with "unknown" meaning nothing."""
        with torch.no_grad():
            self.dense[-1].bias.fill_(math.log(base_rate / (1 - base_rate)))
            for end in self.scaling.offsets[1:]:
                self.table.weight[end - 1] = 0

    def forward(self, numbers: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Log-odds, shape (n,), from what `prepare` returns."""
        x = torch.cat([numbers, self.table(codes).flatten(1)], dim=1)
        for layer in self.dense[:-1]:
            x = self.dropout(torch.relu(layer(x)))
        answer: torch.Tensor = self.dense[-1](x).squeeze(1)
        return answer

    def prepare(self, X: Floats) -> tuple[torch.Tensor, torch.Tensor]:
        """Scaled numbers beside their missing indicators (n, 2M), and rows of the table (n, K)."""
        scaling = self.scaling
        values = X[:, scaling.numbers]
        missing = np.isnan(values)
        mean = np.array(scaling.mean, dtype=np.float32)
        z = (signed_log(values) - mean) / np.array(scaling.deviation, dtype=np.float32)
        z = np.where(missing, np.float32(0), np.clip(z, -CLIP, CLIP))
        codes = X[:, scaling.categories]
        unknown = np.array(scaling.sizes, dtype=np.float32)
        offsets = np.array(scaling.offsets[:-1], dtype=np.int64)
        rows = np.where(np.isnan(codes), unknown, codes).astype(np.int64) + offsets
        return torch.from_numpy(np.hstack([z, missing]).astype(np.float32)), torch.from_numpy(rows)


class FittedMlp:
    """A trained network."""

    def __init__(self, network: Network, rounds: int) -> None:
        self.network, self.rounds = network.eval(), rounds

    def margins(self, X: Floats) -> Margins:
        """Log-odds, computed in float32."""
        with torch.no_grad(), _one_thread():
            margins: Margins = self.network(*self.network.prepare(X)).numpy().astype(np.float64)
        return margins

    def graph(self) -> GraphPart:
        """The scaling and the layers as ONNX nodes, written from the weights."""
        weights = {name: tensor.numpy() for name, tensor in self.network.state_dict().items()}
        return network_graph(self.network.scaling, weights, CLIP)

    def dump(self) -> bytes:
        """Weights, scaling and shape; no code."""
        network, content = self.network, io.BytesIO()
        torch.save(
            {
                "weights": network.state_dict(),
                "scaling": vars(network.scaling),
                "params": network.params,
                "rounds": self.rounds,
            },
            content,
        )
        return content.getvalue()


class _Training:
    """Epochs over shuffled batches, and what stops them."""

    def __init__(self, network: Network, params: Mapping[str, Any], on_epoch: OnEpoch) -> None:
        self.network, self.params, self.on_epoch = network, params, on_epoch
        self.loss = nn.BCEWithLogitsLoss()
        self.optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=float(params["learning_rate"]),
            weight_decay=float(params["weight_decay"]),
        )

    def run(self, train: Rows, validation: Rows | None) -> int:
        """Train to the end, or until validation stops improving; returns the epoch whose weights are kept."""
        if validation is None:
            return self._run_all(train)
        best_loss, best_epoch, best = math.inf, 0, copy.deepcopy(self.network.state_dict())
        held_out = self._tensors(validation)
        for number, train_loss in enumerate(self._epochs(train), start=1):
            loss = self._evaluate(held_out)
            self.on_epoch(Epoch(number=number, train_loss=train_loss, validation_loss=loss))
            if loss < best_loss:
                best_loss, best_epoch, best = loss, number, copy.deepcopy(self.network.state_dict())
            elif number - best_epoch >= int(self.params["patience"]):
                break
        self.network.load_state_dict(best)
        return max(1, best_epoch)

    def _run_all(self, train: Rows) -> int:
        return sum(1 for _ in self._epochs(train))

    def _epochs(self, train: Rows) -> Iterator[float]:
        tensors = self._tensors(train)
        for _ in range(int(self.params["epochs"])):
            yield self._pass(tensors)

    def _pass(self, tensors: list[torch.Tensor]) -> float:
        self.network.train()
        total, rows = 0.0, len(tensors[-1])
        for batch in torch.randperm(rows).split(int(self.params["batch_size"])):
            numbers, codes, y = (tensor[batch] for tensor in tensors)
            self.optimizer.zero_grad()
            loss = self.loss(self.network(numbers, codes), y)
            loss.backward()
            self.optimizer.step()
            total += loss.item() * len(batch)
        return total / rows

    def _evaluate(self, tensors: list[torch.Tensor]) -> float:
        self.network.eval()
        with torch.no_grad():
            numbers, codes, y = tensors
            return float(self.loss(self.network(numbers, codes), y))

    def _tensors(self, rows: Rows) -> list[torch.Tensor]:
        return [*self.network.prepare(rows.X), torch.from_numpy(rows.y.astype(np.float32))]


@contextmanager
def _deterministic(seed: int) -> Iterator[None]:
    """Seed PyTorch for the block and give the process its own state back afterwards."""
    before = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order whatever the machine's cores; at these sizes also the fastest."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
