"""How much a client may ask of a connection without asking for a prediction."""

from serving.runtime.grpc.frames import ENHANCE_YOUR_CALM, ConnectionFault

LIMIT = 10_000
FAULT_COST = 10
"""A stream that was begun for nothing."""
EARNED = 10
"""What an answer is worth, and a second: who works, or pings now and then, may do so as long as he likes."""


class Patience:
    """Counts frames that cost us something and bring nothing.

    Without it a client keeps a server busy for free: streams that are opened and reset (CVE-2023-44487),
    settings and pings that want an answer, CONTINUATION without end (CVE-2024-27316), empty frames.
    """

    __slots__ = ("_spent",)

    def __init__(self) -> None:
        """Nothing spent."""
        self._spent = 0

    def spend(self, cost: int = 1) -> None:
        """Bear one more.

        Raises:
            ConnectionFault: It was the last straw.
        """
        self._spent += cost
        if self._spent > LIMIT:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many frames that ask for nothing")

    def earn(self) -> None:
        """A request was answered, or a second has passed."""
        if self._spent:
            self._spent = max(0, self._spent - EARNED)
