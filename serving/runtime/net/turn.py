"""The end of a turn of the loop: after everyone who was ready has been read, before any answer goes out."""

from collections.abc import Callable
from threading import get_ident

from serving.runtime.journal import journal


class Turn:
    """What is left for the end of the present turn. Only the loop's thread touches it."""

    def __init__(self) -> None:
        """Of no thread yet."""
        self.ident = 0
        """Of the loop's thread."""
        self._left: list[Callable[[], None]] = []

    @property
    def here(self) -> bool:
        """Whether this is the loop's thread: what is left on it is done before it sleeps."""
        return get_ident() == self.ident

    def leave(self, call: Callable[[], None]) -> None:
        """Have it called at the end of this turn."""
        self._left.append(call)

    def settle(self) -> None:
        """Call what was left, at the end of the turn or earlier; nothing where this is another thread.

        One that fails takes neither the others with it nor the request for which there was to be room.
        """
        if self._left and self.here:
            left, self._left = self._left, []
            for call in left:
                try:
                    call()
                except Exception as error:  # noqa: BLE001 - as said
                    journal("turn_failed", error=repr(error))
