"""Requests of one row as bytes whose JSON was read before: clients repeat it, but for the id before it."""

import sys
from math import isfinite
from struct import Struct

import msgspec

from modelway.bundle.signature import GRAPH_INPUT
from serving.runtime.parsed import Parsed, checked_id, checked_row
from serving.runtime.problems import RequestError
from serving.runtime.v2_shapes import SizedRequest

_MOST, _LONGEST_BYTES = 64, 1024
_INPUTS, _ID, _SPACE = b'"inputs"', b'"id"', b" \t\r\n"
NOTHING = b"{"
"""What stands before the inputs where nothing does."""


_NATIVE = sys.byteorder == "little"
"""Whether the bytes of a request are those that the graph reads."""


class _Identified(msgspec.Struct, forbid_unknown_fields=True):
    id: str


_identified = msgspec.json.Decoder(_Identified).decode


class Forms:
    """The JSON of requests that came, from its inputs on, and what it asked for."""

    __slots__ = ("_known", "_last", "_row_bytes", "_unpack", "_width")

    def __init__(self, width: int) -> None:
        """Know none yet; `width` is the number of the matrix's columns."""
        row = Struct(f"<{width}f")
        self._known: dict[bytes, Parsed] = {}
        self._last = b"", "", Parsed(0, [])
        """The JSON that came last, its id and what it asked for: many clients never change it."""
        self._width, self._row_bytes, self._unpack = width, row.size, row.unpack_from

    def __len__(self) -> int:
        """How many are known."""
        return len(self._known)

    def read(self, body: bytes, header_bytes: int) -> Parsed | None:
        """The row of a request whose JSON is known; None for any other.

        Raises:
            RequestError: A value is infinite.
        """
        if not header_bytes or len(body) != self._row_bytes + header_bytes:
            return None
        last, request_id, form = self._last
        if not body.startswith(last) or len(last) != header_bytes:
            found = self._recognised(body[:header_bytes])
            if found is None:
                return None
            _, request_id, form = found
        row = list(self._unpack(body, header_bytes))
        checked = row if isfinite(sum(row)) else checked_row(row)
        packed = body[header_bytes:] if _NATIVE else None
        return Parsed(1, checked, request_id or None, outputs=form.outputs, binary=form.binary, packed=packed)

    def _recognised(self, header: bytes) -> tuple[bytes, str, Parsed] | None:
        """The header, its id and what it asks for; None when it is none of those known."""
        before, repeated = parted(header)
        form = self._known.get(repeated)
        request_id = None if form is None else id_in(before)
        if form is None or request_id is None:
            return None
        self._last = header, request_id, form
        return self._last

    def learn(self, header: bytes, request: SizedRequest, parsed: Parsed) -> None:
        """Know it again, when it was one row of the matrix and nothing but an id stands before its inputs."""
        before, repeated = parted(header)
        tensor = request.inputs[0]
        usual = (
            tensor.name == GRAPH_INPUT
            and tensor.datatype == "FP32"
            and tensor.shape == [1, self._width]
            and len(header) <= _LONGEST_BYTES
            and len(request.inputs) == 1
        )
        if not usual or _ID in repeated or id_in(before) != (request.id or ""):
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[repeated] = parsed


def parted(header: bytes) -> tuple[bytes, bytes]:
    """What stands before the inputs - nothing, or the id, as tritonclient writes it - and the rest."""
    at = header.find(_INPUTS)
    return header[:at], header[at:]


def id_in(before: bytes) -> str | None:
    """The id before the inputs, empty where nothing stands there; None where another thing does."""
    if before == NOTHING:
        return ""
    said = before.rstrip(_SPACE)
    return _id_of(said[:-1] + b"}") if said.endswith(b",") else None


def id_at_end(rest: bytes) -> str | None:
    """The id that is all that is left of a request; None where another thing is."""
    return _id_of(NOTHING + rest)


def _id_of(document: bytes) -> str | None:
    try:
        return checked_id(_identified(document).id) or None
    except (msgspec.MsgspecError, ValueError, RequestError):
        return None
