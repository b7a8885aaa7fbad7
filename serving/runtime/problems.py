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


class ModelFailureError(Exception):
    """The model raised, or gave something that is no probability."""


class InvalidOutputError(ModelFailureError):
    """The graph ran and its answer is no probability: a fault of the model, whoever asks."""


_SHOWN_CHARS = 60


def shown(value: object) -> str:
    """What a client sent, safe and short enough to send back."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."
