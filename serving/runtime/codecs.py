"""The protocols over HTTP: how a body becomes rows, and probabilities a body."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from modelway.bundle.signature import Signature
from serving.runtime.columns import Columns
from serving.runtime.notes import noted_v2
from serving.runtime.parsed import Matrix, Parsed
from serving.runtime.problems import RequestError, shown
from serving.runtime.reply import V2Reply, error_body, v1_body
from serving.runtime.transport import FixedHeaders, Head, Headers
from serving.runtime.v1 import V1Decoder
from serving.runtime.v2 import ALL_OUTPUTS, V2Decoder

HEADER_LENGTH = "inference-header-content-length"
"""Header of a request or an answer with tensors as bytes: how long the JSON before them is."""

_MOST_DIGITS = 18
"""Of a length that fits 64 bits; Python refuses to read some thousands."""


def headers_of(revision: str, content_type: str = "application/json") -> Headers:
    """What every answer of a revision carries."""
    return FixedHeaders([("content-type", content_type), ("x-revision", revision)])


class V2Json:
    """Open Inference Protocol V2 over HTTP: JSON, and tensors as bytes behind it."""

    protocol = "v2"
    __slots__ = (
        "_decode",
        "_decode_binary",
        "_headers",
        "_known",
        "_one",
        "_one_headers",
        "_reply",
        "_revision",
        "_sized",
    )

    def __init__(self, signature: Signature, revision: str, columns: Columns) -> None:
        """Prepare what never changes."""
        decoder = V2Decoder(columns)
        self._decode, self._decode_binary = decoder.decode, decoder.decode_binary
        self._known = decoder.wordings.read
        self._reply = V2Reply(signature, revision)
        self._one = self._reply.one
        self._headers, self._revision = headers_of(revision), revision
        self._one_headers = _binary_headers(revision, self._reply.one_binary_header_bytes)
        self._sized: dict[int, Headers] = {}

    def decode(self, head: Head, body: bytes) -> Parsed:
        """A request's rows in matrix order.

        Raises:
            RequestError: The body is no V2 request for this model.
        """
        # looking at the headers costs more than looking at the last byte, and few bodies of bytes end so
        if not body.endswith(b"}"):
            header_bytes = _header_bytes(head, body)
            return self._decode(body) if header_bytes is None else self._decode_binary(body, header_bytes)
        if (known := self._known(body)) is not None:
            return known
        try:
            return self._decode(body)
        except RequestError:
            header_bytes = _header_bytes(head, body)
            if header_bytes is None:
                raise
            return self._decode_binary(body, header_bytes)

    def encode(self, parsed: Parsed, probabilities: np.float32 | Matrix) -> tuple[Headers, bytes]:
        """Both outputs, or those asked for, as JSON or as bytes."""
        if parsed.binary is not None:
            return self._binary(parsed, parsed.binary, probabilities)
        if isinstance(probabilities, np.ndarray):
            return self._headers, self._reply.many(probabilities, parsed.request_id, parsed.outputs)
        if parsed.outputs is None:
            return self._headers, self._one(probabilities, parsed.request_id)
        row = np.array([probabilities])
        return self._headers, self._reply.many(row, parsed.request_id, parsed.outputs)

    def _binary(
        self, parsed: Parsed, names: frozenset[str], probabilities: np.float32 | Matrix
    ) -> tuple[Headers, bytes]:
        if names is ALL_OUTPUTS and parsed.outputs is None and not isinstance(probabilities, np.ndarray):
            return self._one_binary(parsed.request_id, probabilities)
        matrix = np.atleast_1d(probabilities)
        header, raw = self._reply.binary(matrix, parsed.request_id, parsed.outputs, names)
        return _binary_headers(self._revision, len(header)), header + raw

    def _one_binary(self, request_id: str | None, probability: np.float32) -> tuple[Headers, bytes]:
        if request_id is None:
            return self._one_headers, self._reply.one_binary(probability)
        body, header_bytes = self._reply.one_binary_named(probability, request_id)
        headers = self._sized.get(header_bytes)
        if headers is None:  # as many as ids have lengths
            headers = self._sized[header_bytes] = _binary_headers(self._revision, header_bytes)
        return headers, body

    def refusal(self, _status: int, message: str) -> tuple[Headers, bytes]:
        """Say why not."""
        return self._headers, error_body(message)

    def noted(self, headers: Headers, body: bytes, notes: Mapping[str, str | float]) -> tuple[Headers, bytes]:
        """The answer with `parameters`."""
        return noted_v2(headers, body, notes)


def _binary_headers(revision: str, header_bytes: int) -> Headers:
    headers = headers_of(revision, "application/octet-stream")
    return FixedHeaders([*headers, (HEADER_LENGTH, str(header_bytes))])


def _header_bytes(head: Head, body: bytes) -> int | None:
    """Length of the JSON before the tensors; None where the request is JSON from end to end.

    Raises:
        RequestError: The header is no length, or the body cannot be read at all.
    """
    headers = head.headers
    encoding, given = headers.get("content-encoding"), headers.get(HEADER_LENGTH)
    if encoding not in {None, "", "identity"}:
        raise RequestError(
            f"content-encoding {shown(encoding)} is not read; send the body as it is", status=415
        )
    if given is None:
        return None
    length = _length(given)
    if length is None or length > len(body):
        raise RequestError(
            f"Inference-Header-Content-Length must be the length of the JSON at the start of the body, "
            f"0 to {len(body)}, found {shown(given)}"
        )
    return length


@lru_cache(maxsize=256)
def _length(text: str) -> int | None:
    """A length as headers write it; None where it is none. Clients repeat themselves."""
    readable = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if readable else None


class V1Json:
    """The older V1 protocol in JSON."""

    __slots__ = ("_decode", "_headers", "protocol")

    def __init__(self, revision: str, columns: Columns) -> None:
        """Prepare what never changes."""
        self.protocol = "v1"
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

    def noted(
        self, headers: Headers, body: bytes, _notes: Mapping[str, str | float]
    ) -> tuple[Headers, bytes]:
        """As it is: V1 has no place for them in its body."""
        return headers, body
