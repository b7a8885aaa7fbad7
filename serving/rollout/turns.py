"""Whose turn it is to move a service's traffic: one process's at a time, and it says what for."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from modelway.contract import Frozen
from modelway.errors import TransitionError
from serving.gateway.files import Holder, is_held


class Turn(Frozen):
    """Who moves the traffic now."""

    what: str
    """For people, e.g. "`modelway serve`"."""
    pid: int = 0
    """0 where it did not say."""
    drives: bool = False
    """It looks for a note to abort again and again."""

    def __str__(self) -> str:
        """As a message names it."""
        return f"{self.what} (process {self.pid})" if self.pid else self.what


def holder_of(lock: Path) -> Turn | None:
    """Who holds a lock; None while nobody does.

    What a process that was killed has left in the file is not believed.
    """
    if not is_held(lock):
        return None
    with suppress(OSError, ValidationError):
        told = Turn.model_validate_json(lock.read_bytes())
        os.kill(told.pid, 0)
        return told
    return Turn(what="another process")


@contextmanager
def taken(lock: Path, service: str, what: str, *, drives: bool = False) -> Iterator[None]:
    """Hold the lock while inside.

    Args:
        lock: Of the service.
        service: For the message.
        what: What for, in the words of whoever has to wait.
        drives: It looks for a note to abort.

    Raises:
        TransitionError: Another process holds it.
    """
    holder = Holder(lock)
    if not holder.take():
        raise busy(service, holder_of(lock) or Turn(what="another process"))
    try:
        _sign(lock, Turn(what=what, pid=os.getpid(), drives=drives).model_dump_json())
        yield
    finally:
        _sign(lock, "")
        holder.release()


def _sign(lock: Path, text: str) -> None:
    with suppress(OSError):  # a full disk: its holder stays nameless
        lock.write_text(text, encoding="utf-8")


def busy(service: str, turn: Turn) -> TransitionError:
    """For who finds that somebody else has the turn."""
    way = f"`modelway rollout abort {service}` ends it; or wait" if turn.drives else "wait"
    return TransitionError(
        f"{service}: {turn} moves its traffic",
        expected="one process at a time",
        remedy=f"{way} until it is done, then try again",
    )
