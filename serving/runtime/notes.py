"""What an answer says beside its numbers: that features came from a store, or that a rule answered.

In every protocol as headers `x-<name>`; in V2 as `parameters` of the response too.
"""

from collections.abc import Mapping

import msgspec

from serving.runtime.exchange import Exchange, Wrapped
from serving.runtime.transport import Headers

Notes = Mapping[str, str | float]
"""By name, in lower case with underscores."""

_OK = 200
_LENGTH = "inference-header-content-length"


def outermost_of(exchange: Exchange) -> Exchange:
    """The one that responds."""
    while isinstance(exchange, Wrapped):
        exchange = exchange.outer
    return exchange


def announce(exchange: Exchange, notes: Notes) -> None:
    """Let the answer carry notes, if it becomes a 200."""
    outermost = outermost_of(exchange)
    respond, codec = outermost.respond, exchange.codec

    def say(status: int, headers: Headers, body: bytes) -> None:
        if status == _OK:
            headers, body = codec.noted(headers, body, notes)
            headers = [*headers, *((f"x-{name.replace('_', '-')}", _text(v)) for name, v in notes.items())]
        respond(status, headers, body)

    outermost.respond = say


def noted_v2(headers: Headers, body: bytes, notes: Notes) -> tuple[Headers, bytes]:
    """A V2 answer with `parameters`: JSON, or JSON with tensors behind it."""
    length = next((int(value) for name, value in headers if name == _LENGTH), len(body))
    document = _with_parameters(body[:length], notes)
    if length == len(body):
        return headers, document
    lengths = [(name, str(len(document)) if name == _LENGTH else value) for name, value in headers]
    return lengths, document + body[length:]


def _with_parameters(document: bytes, notes: Notes) -> bytes:
    """Our own answers have no parameters of their own; a second stage's join the first one's."""
    known: dict[str, msgspec.Raw] = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
    parameters = msgspec.json.decode(known.get("parameters", msgspec.Raw(b"{}")))
    return msgspec.json.encode(known | {"parameters": parameters | dict(notes)})


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"
