"""Epochs over shuffled batches, what stops them, and what survives a kill."""

import copy
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from modelway.training.candidates.base import Epoch, OnEpoch, Rows
from modelway.training.candidates.checkpoints import Checkpoint
from modelway.training.candidates.imbalance import CLASS_WEIGHT, sample_weights

if TYPE_CHECKING:
    from modelway.training.candidates.networks import Network

ROWS_AT_ONCE = 8_192
"""Rows in one forward pass where nothing is learnt: bounds memory."""
Tensors = list[torch.Tensor]


def mean_loss(margins: torch.Tensor, y: torch.Tensor, weights: torch.Tensor, gamma: float) -> torch.Tensor:
    """Weighted focal loss, the mean over the rows; log loss for gamma 0.

    (1 - p_t)^gamma · log loss, where p_t is the probability given to the truth: rows that are right
    already count less. 1 - p_t = sigmoid(-m) for m the margin in the truth's direction, taken by its
    logarithm, so that neither it nor its gradient is lost to rounding.

    Args:
        margins: Log-odds, shape (n,).
        y: 0 or 1, shape (n,).
        weights: Shape (n,).
        gamma: How much less; 2 is the paper's choice.

    Source:
        Lin, Goyal, Girshick, He & Dollár (2017), "Focal loss for dense object detection", equation 4.
    """
    if gamma == 0:
        loss: torch.Tensor = binary_cross_entropy_with_logits(margins, y, weight=weights)
        return loss
    # Not as `weight=`, through which no gradient flows.
    wrong = torch.exp(gamma * logsigmoid(-(2 * y - 1) * margins))
    losses = binary_cross_entropy_with_logits(margins, y, reduction="none")
    focal: torch.Tensor = (weights * wrong * losses).mean()
    return focal


@dataclass
class Progress:
    """How far a training has come."""

    best: dict[str, torch.Tensor]
    """Weights of the epoch with the lowest validation loss."""
    number: int = 0
    best_number: int = 0
    best_loss: float = math.inf
    epochs: list[dict[str, Any]] = field(default_factory=list)
    """Of `Epoch`, all that were reported."""


class Training:
    """One fit of one network."""

    def __init__(self, network: "Network", on_epoch: OnEpoch, checkpoint: Checkpoint) -> None:
        """Prepare; nothing is learnt yet.

        Args:
            network: Is changed in place.
            on_epoch: Told of every epoch.
            checkpoint: Where a fit that was killed goes on from.
        """
        self.network, self.on_epoch, self.checkpoint = network, on_epoch, checkpoint
        params = network.params
        self.epochs, self.patience = int(params["epochs"]), int(params["patience"])
        self.batch_size, self.gamma = int(params["batch_size"]), float(params["focal_gamma"])
        self.optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=float(params["learning_rate"]),
            weight_decay=float(params["weight_decay"]),
        )
        self.progress = Progress(best=copy.deepcopy(network.state_dict()))

    def run(self, train: Rows, validation: Rows | None) -> int:
        """Train to the end, or until validation stops improving; returns the epoch whose weights are kept."""
        learnt = self._tensors(train)
        held_out = None if validation is None else self._tensors(validation)
        self._resume()
        while not self._finished():
            train_loss = self._pass(learnt)
            self.progress.number += 1
            if held_out is not None:
                self._compare(train_loss, self._evaluate(held_out))
            self.checkpoint.write(self._state)
        self.checkpoint.remove()
        if held_out is None:
            return self.progress.number
        self.network.load_state_dict(self.progress.best)
        return max(1, self.progress.best_number)

    def _finished(self) -> bool:
        now = self.progress
        waited = now.number - now.best_number if now.epochs else 0
        return now.number >= self.epochs or waited >= self.patience

    def _compare(self, train_loss: float, loss: float) -> None:
        now = self.progress
        now.epochs.append({"number": now.number, "train_loss": train_loss, "validation_loss": loss})
        self.on_epoch(Epoch(**now.epochs[-1]))
        if loss < now.best_loss:
            now.best_loss, now.best_number = loss, now.number
            now.best = copy.deepcopy(self.network.state_dict())

    def _pass(self, tensors: Tensors) -> float:
        self.network.train()
        total, rows = 0.0, len(tensors[-1])
        for batch in torch.randperm(rows).split(self.batch_size):
            self.optimizer.zero_grad()
            loss = self._loss([tensor[batch] for tensor in tensors])
            loss.backward()
            self.optimizer.step()
            total += loss.item() * len(batch)
        return total / rows

    def _evaluate(self, tensors: Tensors) -> float:
        self.network.eval()
        rows, total = len(tensors[-1]), 0.0
        with torch.no_grad():
            for batch in torch.arange(rows).split(ROWS_AT_ONCE):
                total += float(self._loss([tensor[batch] for tensor in tensors])) * len(batch)
        return total / rows

    def _loss(self, tensors: Tensors) -> torch.Tensor:
        numbers, codes, y, weights = tensors
        return mean_loss(self.network(numbers, codes), y, weights, self.gamma)

    def _tensors(self, rows: Rows) -> Tensors:
        prepared = [torch.from_numpy(array) for array in self.network.scaling.prepare(rows.X)]
        y = torch.from_numpy(rows.y.astype("float32"))
        weights = sample_weights(rows.y, self.network.params[CLASS_WEIGHT])
        of_rows = torch.ones_like(y) if weights is None else torch.from_numpy(weights.astype("float32"))
        return [*prepared, y, of_rows]

    def _state(self) -> dict[str, Any]:
        return {
            "weights": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "progress": vars(self.progress),
        }

    def _resume(self) -> None:
        """Go on where a killed fit of the same rows and recipe was; its epochs are reported again."""
        stored = self.checkpoint.read()
        if stored is None:
            return
        self.network.load_state_dict(stored["weights"])
        self.optimizer.load_state_dict(stored["optimizer"])
        torch.set_rng_state(stored["random"])
        self.progress = Progress(**stored["progress"])
        for epoch in self.progress.epochs:
            self.on_epoch(Epoch(**epoch))
