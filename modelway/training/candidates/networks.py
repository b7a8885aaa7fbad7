"""What the kinds in PyTorch share: how a network is fitted, asked, kept and read back."""

import io
import math
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from modelway.errors import SnapshotCorruptError
from modelway.optimize.graph import GraphPart
from modelway.training.candidates.base import Margins, OnEpoch, Params, Recipe, Rows, complete
from modelway.training.candidates.checkpoints import Checkpoint, identity
from modelway.training.candidates.imbalance import CLASS_WEIGHT, NONE, sample_weights
from modelway.training.candidates.network_training import ROWS_AT_ONCE, Training
from modelway.training.candidates.scaling import Scaling
from modelway.training.encoding import Floats

TRAINING_DEFAULTS: Params = {
    "batch_size": 512,
    "patience": 3,
    CLASS_WEIGHT: NONE,
    "focal_gamma": 0.0,
}
"""Hyper-parameters of every network."""


class Network(nn.Module):
    """From scaled rows to one log-odds each."""

    table: nn.Embedding
    """Of all categories: `Scaling.offsets` says which rows are whose."""

    def __init__(self, scaling: Scaling, params: Mapping[str, Any]) -> None:
        """Keep what every network needs to be fitted and exported.

        Args:
            scaling: What becomes of a row before it comes here.
            params: All hyper-parameters by name.
        """
        super().__init__()
        self.scaling, self.params = scaling, dict(params)

    @property
    def last(self) -> nn.Linear:
        """The layer that ends in the log-odds."""
        raise NotImplementedError

    def nodes(self) -> GraphPart:
        """The same function as ONNX nodes, from `KNOWN` to `MARGIN`."""
        raise NotImplementedError

    def start_at(self, base_rate: float) -> None:
        """Begin with the base rate as answer, and with "unknown" meaning nothing."""
        with torch.no_grad():
            self.last.bias.fill_(math.log(base_rate / (1 - base_rate)))
            for end in self.scaling.offsets[1:]:
                self.table.weight[end - 1] = 0

    def arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """Weights by name."""
        return {name: tensor.numpy() for name, tensor in self.state_dict().items()}


class NetworkKind:
    """A family of networks that differ in their layers alone."""

    name: ClassVar[str]
    network: ClassVar[type[Network]]
    defaults: ClassVar[Params]
    rounds_param: ClassVar[str] = "epochs"
    reports_while_learning: ClassVar[bool] = True
    """Each epoch is reported before the next: a trial whose losses lag can be given up."""

    def fit(self, train: Rows, validation: Rows | None, recipe: Recipe, on_epoch: OnEpoch) -> "FittedNetwork":
        """Train; with validation rows, keep the weights of the epoch with the lowest validation loss.

        A training that was killed goes on from its last checkpoint when it is started again with the
        same rows and recipe, and ends in the same bytes.
        """
        params = complete(self.name, self.defaults, recipe.params)
        checkpoint = Checkpoint(identity(self.name, train, validation, recipe))
        with _deterministic(recipe.seed):
            network = self.build(Scaling.of(train.X, recipe.inputs), params)
            weights = sample_weights(train.y, params[CLASS_WEIGHT])
            network.start_at(float(np.average(train.y, weights=weights)))
            rounds = Training(network, on_epoch, checkpoint).run(train, validation)
        return FittedNetwork(network, rounds)

    def build(self, scaling: Scaling, params: Params) -> Network:
        """The network, untrained."""
        return self.network(scaling, params)

    def load(self, content: bytes) -> "FittedNetwork":
        """Read weights back; `weights_only` keeps code out of the file.

        Raises:
            SnapshotCorruptError: The file does not hold a network of ours.
        """
        try:
            stored = torch.load(io.BytesIO(content), weights_only=True)
            network = self.network(Scaling(**stored["scaling"]), {**self.defaults, **stored["params"]})
            network.load_state_dict(stored["weights"])
        except (RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
            raise SnapshotCorruptError(f"{len(content)} bytes hold no trained network: {error}") from error
        return FittedNetwork(network, stored["rounds"])


class FittedNetwork:
    """A trained network."""

    def __init__(self, network: Network, rounds: int) -> None:
        """Take a network that has learnt for so many epochs; it learns no more."""
        self.network, self.rounds = network.eval(), rounds

    def margins(self, X: Floats) -> Margins:
        """Log-odds, computed in float32."""
        found = np.empty(len(X), dtype=np.float64)
        with torch.no_grad(), _one_thread():
            for start in range(0, len(X), ROWS_AT_ONCE):
                part = slice(start, start + ROWS_AT_ONCE)
                prepared = (torch.from_numpy(array) for array in self.network.scaling.prepare(X[part]))
                found[part] = self.network(*prepared).numpy()
        return found

    def graph(self) -> GraphPart:
        """The network's nodes, written from its weights."""
        part: GraphPart = self.network.nodes()
        return part

    def dump(self) -> bytes:
        """Weights, scaling and shape; no code."""
        network, content = self.network, io.BytesIO()
        torch.save(
            {
                "weights": network.state_dict(),
                "scaling": network.scaling.facts(),
                "params": network.params,
                "rounds": self.rounds,
            },
            content,
        )
        return content.getvalue()


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
