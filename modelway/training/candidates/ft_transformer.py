"""A transformer over the columns of a row: every number and every category is a token.

Source:
    Gorishniy, Rubachev, Khrulkov & Babenko (2021), "Revisiting deep learning models for tabular data",
    NeurIPS: feature tokenizer, pre-norm blocks without the first norm, ReGLU, prediction from a [CLS]
    token. Three things differ: a missing number is a token of its own instead of a filled one; a
    category has no bias beside its embedding; weight decay holds for all weights.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from modelway.errors import ConfigError
from modelway.optimize.graph import GraphPart
from modelway.training.candidates.base import Params
from modelway.training.candidates.ft_graph import transformer_graph
from modelway.training.candidates.networks import TRAINING_DEFAULTS, Network, NetworkKind
from modelway.training.candidates.scaling import Scaling


class Tokenizer(nn.Module):
    """A row's numbers as tokens: (n, 2M), scaled values beside missing indicators, to (n, M, d)."""

    def __init__(self, numbers: int, token: int) -> None:
        """One token for each of `numbers` columns, `token` wide; drawn, not learnt yet."""
        super().__init__()
        self.value, self.missing, self.bias = (nn.Parameter(_uniform(numbers, token)) for _ in range(3))

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Per column: value · z + missing · is_missing + bias."""
        z, missing = numbers.unsqueeze(2).chunk(2, dim=1)
        tokens: torch.Tensor = z * self.value + missing * self.missing + self.bias
        return tokens


def _uniform(*shape: int) -> torch.Tensor:
    limit = 1 / math.sqrt(shape[-1])
    return torch.empty(shape).uniform_(-limit, limit)


class Block(nn.Module):
    """Attention, then a gated layer, each added to what came in."""

    def __init__(self, params: Mapping[str, Any], *, is_first: bool, is_last: bool) -> None:
        """Layers of the widths in `params`.

        Args:
            params: `token`, `hidden`, `heads`, `dropout`.
            is_first: The first block leaves out the norm before attention, as in the paper.
            is_last: The last one attends for the answer's token alone.
        """
        super().__init__()
        token, hidden = int(params["token"]), int(params["hidden"])
        self.heads, self.is_last = int(params["heads"]), is_last
        self.norm_1 = nn.Identity() if is_first else nn.LayerNorm(token)
        self.query, self.key, self.value, self.joined = (nn.Linear(token, token) for _ in range(4))
        self.norm_2 = nn.LayerNorm(token)
        self.wide, self.narrow = nn.Linear(token, 2 * hidden), nn.Linear(hidden, token)
        self.dropout = nn.Dropout(float(params["dropout"]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, T, d) to the same shape; the last block answers for the [CLS] token alone: (n, 1, d)."""
        h = self.norm_1(x)
        asking = h[:, :1] if self.is_last else h
        x = (x[:, :1] if self.is_last else x) + self.dropout(self.joined(self._attend(asking, h)))
        a, b = self.wide(self.norm_2(x)).chunk(2, dim=2)
        answer: torch.Tensor = x + self.dropout(self.narrow(a * torch.relu(b)))
        return answer

    def _attend(self, asking: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        q, k, v = self._split(self.query(asking)), self._split(self.key(h)), self._split(self.value(h))
        scores = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(q.shape[3]), dim=3)
        found: torch.Tensor = (self.dropout(scores) @ v).transpose(1, 2).flatten(2)
        return found

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        """(n, T, d) -> (n, heads, T, d / heads)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class FtTransformer(Network):
    """Tokens, blocks, and one log-odds from the [CLS] token."""

    def __init__(self, scaling: Scaling, params: Mapping[str, Any]) -> None:
        """A network that has learnt nothing yet.

        Args:
            scaling: What becomes of a row before it comes here.
            params: Hyper-parameters: `token`, `blocks`, `hidden`, `heads`, `dropout`.
        """
        super().__init__(scaling, params)
        token, blocks = int(params["token"]), int(params["blocks"])
        self.table = nn.Embedding(max(1, scaling.offsets[-1]), token)
        with torch.no_grad():
            self.table.weight.copy_(_uniform(*self.table.weight.shape))
        self.cls = nn.Parameter(_uniform(1, 1, token))
        self.numbers = Tokenizer(len(scaling.numbers), token)
        self.blocks = nn.ModuleList(
            Block(params, is_first=i == 0, is_last=i == blocks - 1) for i in range(blocks)
        )
        self.norm, self.answer = nn.LayerNorm(token), nn.Linear(token, 1)

    @property
    def last(self) -> nn.Linear:
        """The layer that ends in the log-odds."""
        return self.answer

    def forward(self, numbers: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Log-odds, shape (n,), from what `Scaling.prepare` returns."""
        cls = self.cls.expand(len(numbers), 1, -1)
        x = torch.cat([cls, self.numbers(numbers), self.table(codes)], dim=1)
        for block in self.blocks:
            x = block(x)
        answer: torch.Tensor = self.answer(torch.relu(self.norm(x[:, 0]))).squeeze(1)
        return answer

    def nodes(self) -> GraphPart:
        """Tokens and blocks, written from the weights."""
        return transformer_graph(self.scaling, self.arrays(), int(self.params["heads"]))


class FtTransformerKind(NetworkKind):
    """An FT-Transformer in PyTorch, trained by AdamW on log loss or focal loss."""

    name: ClassVar[str] = "ft_transformer"
    network: ClassVar[type[Network]] = FtTransformer
    defaults: ClassVar[Params] = {
        **TRAINING_DEFAULTS,
        "token": 32,
        "blocks": 2,
        "heads": 4,
        "hidden": 43,
        "dropout": 0.1,
        "learning_rate": 1e-3,
        "weight_decay": 1e-5,
        "epochs": 8,
    }

    def build(self, scaling: Scaling, params: Params) -> Network:
        """The network, untrained.

        Raises:
            ConfigError: `heads` does not divide `token`, or there is no block.
        """
        if int(params["token"]) % int(params["heads"]) or int(params["blocks"]) < 1:
            raise ConfigError(
                f"token {params['token']}, {params['heads']} heads, {params['blocks']} blocks",
                expected="a token that the heads divide, and at least one block",
                remedy="correct the candidate in the use case",
            )
        return super().build(scaling, params)
