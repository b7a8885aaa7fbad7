"""The JSON protocols: how a body becomes rows, and probabilities a body."""

import numpy as np

from modelway.bundle.signature import Signature
from serving.runtime.columns import Columns
from serving.runtime.parsed import Matrix, Parsed
from serving.runtime.reply import V2Reply, error_body, v1_body
from serving.runtime.transport import Head, Headers
from serving.runtime.v1 import V1Decoder
from serving.runtime.v2 import V2Decoder


def headers_of(revision: str, content_type: str = "application/json") -> Headers:
    """What every answer of a revision carries."""
    return [("content-type", content_type), ("x-revision", revision)]


class V2Json:
    """Open Inference Protocol V2 in JSON."""

    __slots__ = ("_decode", "_headers", "_reply")

    def __init__(self, signature: Signature, revision: str, columns: Columns) -> None:
        """Prepare what never changes."""
        self._decode = V2Decoder(columns).decode
        self._reply = V2Reply(signature, revision)
        self._headers = headers_of(revision)

    def decode(self, _head: Head, body: bytes) -> Parsed:
        """A request's rows in matrix order.

        Raises:
            RequestError: The body is no V2 request for this model.
        """
        return self._decode(body)

    def encode(self, parsed: Parsed, probabilities: np.float32 | Matrix) -> tuple[Headers, bytes]:
        """Both outputs, or those asked for."""
        if isinstance(probabilities, np.ndarray):
            return self._headers, self._reply.many(probabilities, parsed.request_id, parsed.outputs)
        if parsed.outputs is None:
            return self._headers, self._reply.one(probabilities, parsed.request_id)
        row = np.array([probabilities])
        return self._headers, self._reply.many(row, parsed.request_id, parsed.outputs)

    def refusal(self, _status: int, message: str) -> tuple[Headers, bytes]:
        """Say why not."""
        return self._headers, error_body(message)


class V1Json:
    """The older V1 protocol in JSON."""

    __slots__ = ("_decode", "_headers")

    def __init__(self, revision: str, columns: Columns) -> None:
        """Prepare what never changes."""
        self._decode = V1Decoder(columns).decode
        self._headers = headers_of(revision)

    def decode(self, _head: Head, body: bytes) -> Parsed:
        """A request's rows in matrix order.

        Raises:
            RequestError: The body is no V1 request for this model.
        """
        return self._decode(body)

    def encode(self, _parsed: Parsed, probabilities: np.float32 | Matrix) -> tuple[Headers, bytes]:
        """One probability a row."""
        return self._headers, v1_body(np.atleast_1d(probabilities))

    def refusal(self, _status: int, message: str) -> tuple[Headers, bytes]:
        """Say why not."""
        return self._headers, error_body(message)
