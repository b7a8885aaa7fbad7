"""Where a fit under way is kept, so that one that was killed goes on instead of starting again."""

import hashlib
import io
import json
import logging
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from modelway.data.storage import Folder, sha256_of
from modelway.errors import NotFoundError, StorageError
from modelway.home import Home
from modelway.training.candidates.base import Recipe, Rows

logger = logging.getLogger(__name__)

EVERY_S = 5.0
"""A checkpoint is written after the first epoch that ends this long after the last one."""
KEPT = 20
"""Newest checkpoints that stay; those of fits that nobody started again go."""
FITS = "fits"
DIGEST = 64
"""Hex digits of a sha256, which each file begins with."""


def identity(kind: str, train: Rows, validation: Rows | None, recipe: Recipe) -> str:
    """A name for one fit: equal only if everything is that decides its bytes, our code included."""
    told = [kind, sorted(recipe.params.items()), recipe.seed, version("torch"), _code()]
    told += [[column.model_dump(mode="json") for column in recipe.inputs]]
    digest = hashlib.sha256(json.dumps(told).encode())
    for rows in (train,) if validation is None else (train, validation):
        digest.update(f"{rows.X.shape}".encode())
        digest.update(rows.X.tobytes())
        digest.update(rows.y.tobytes())
    return digest.hexdigest()


def _code() -> str:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return sha256_of(b"".join(source.read_bytes() for source in sources))


class Checkpoint:
    """One fit's file below the home, whole or not there at all."""

    def __init__(self, name: str) -> None:
        """Name a fit by its `identity`. Touches nothing."""
        self.name, self.written = f"{FITS}/{name}", time.monotonic()
        self.folder = Folder(str(Home.current().root / "scratch"))

    def write(self, state: Callable[[], dict[str, Any]]) -> None:
        """Keep the state, if the last time is `EVERY_S` ago.

        A store that does not take it is told in the log and does not stop the training.
        """
        if time.monotonic() - self.written < EVERY_S:
            return
        content = io.BytesIO()
        torch.save(state(), content)
        whole = sha256_of(content.getvalue()).encode() + content.getvalue()
        try:
            self.folder.write(self.name, whole)
            self._prune()
        except StorageError as error:
            logger.warning("this training cannot be resumed should it be killed: %s", error)
        self.written = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """The state; None where there is none that can be trusted."""
        try:
            whole = self.folder.read(self.name)
        except (NotFoundError, StorageError):
            return None
        if sha256_of(whole[DIGEST:]).encode() != whole[:DIGEST]:
            logger.warning("%s is damaged: the training starts again", self.folder.path(self.name))
            return None
        state: dict[str, Any] = torch.load(io.BytesIO(whole[DIGEST:]), weights_only=True)
        logger.info("a training that was killed goes on after epoch %d", state["progress"]["number"])
        return state

    def remove(self) -> None:
        """The fit is done."""
        try:
            self.folder.remove(self.name)
        except StorageError as error:
            logger.warning("a finished training's checkpoint stays: %s", error)

    def _prune(self) -> None:
        self.folder.sweep()
        for name in self.folder.names(FITS)[:-KEPT]:
            self.folder.remove(f"{FITS}/{name}")
