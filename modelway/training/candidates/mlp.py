"""A small neural network: an embedding per category, standardised numbers with missing indicators."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import nn

from modelway.optimize.graph import GraphPart
from modelway.training.candidates.base import Params
from modelway.training.candidates.mlp_graph import network_graph
from modelway.training.candidates.networks import TRAINING_DEFAULTS, Network, NetworkKind
from modelway.training.candidates.scaling import Scaling


class Perceptron(Network):
    """Embeddings and numbers side by side, then dense layers down to one log-odds."""

    def __init__(self, scaling: Scaling, params: Mapping[str, Any]) -> None:
        """A network that has learnt nothing yet.

        Args:
            scaling: What becomes of a row before it comes here.
            params: Hyper-parameters: `embedding`, `hidden`, `layers`, `dropout`.
        """
        super().__init__(scaling, params)
        embedding = int(params["embedding"])
        self.table = nn.Embedding(max(1, scaling.offsets[-1]), embedding)
        width = 2 * len(scaling.numbers) + embedding * len(scaling.categories)
        hidden = [int(params["hidden"])] * int(params["layers"])
        sizes = [width, *hidden, 1]
        self.dense = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.dropout = nn.Dropout(float(params["dropout"]))

    @property
    def last(self) -> nn.Linear:
        """The layer that ends in the log-odds."""
        return self.dense[-1]

    def forward(self, numbers: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Log-odds, shape (n,), from what `Scaling.prepare` returns."""
        x = torch.cat([numbers, self.table(codes).flatten(1)], dim=1)
        for layer in self.dense[:-1]:
            x = self.dropout(torch.relu(layer(x)))
        answer: torch.Tensor = self.dense[-1](x).squeeze(1)
        return answer

    def nodes(self) -> GraphPart:
        """The scaling and the layers, written from the weights."""
        return network_graph(self.scaling, self.arrays())


class Mlp(NetworkKind):
    """A multi-layer perceptron in PyTorch, trained by AdamW on log loss or focal loss."""

    name: ClassVar[str] = "mlp"
    network: ClassVar[type[Network]] = Perceptron
    defaults: ClassVar[Params] = {
        **TRAINING_DEFAULTS,
        "hidden": 64,
        "layers": 2,
        "embedding": 4,
        "dropout": 0.1,
        "learning_rate": 3e-3,
        "weight_decay": 1e-4,
        "epochs": 12,
    }
