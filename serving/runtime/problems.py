"""What can go wrong with one request, and whose fault it is.

bytes ──decode──▶ values ──model──▶ probabilities ──encode──▶ bytes
      RequestError         ModelFailureError
      (4xx: the client's)  (500: ours)
"""


class RequestError(Exception):
    """The client's request cannot be answered as it is.

    Attributes:
        status: HTTP status, 4xx.
    """

    def __init__(self, message: str, *, status: int = 400) -> None:
        """Say what was found and what was expected, in one line for the client."""
        super().__init__(message)
        self.status = status


class ExpiredError(RequestError):
    """The time that its client or the model's policy gives it was over before it was scored: 504."""

    def __init__(self) -> None:
        """It is the same for all."""
        super().__init__("its time was over before it could be scored; ask again, or allow more", status=504)


class ModelFailureError(Exception):
    """The model raised, or gave something that is no probability."""


class InvalidOutputError(ModelFailureError):
    """The graph ran and its answer is no probability: a fault of the model, whoever asks."""


class StoreError(ModelFailureError):
    """The online store could not give the features that a request by key needs."""


class KeyRefusedError(RequestError):
    """The store does not know a key or what belongs to it, or knew it too long ago: 404 or 409."""


_SHOWN_CHARS = 60


def shown(value: object) -> str:
    """What a client sent, safe and short enough to send back."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."
