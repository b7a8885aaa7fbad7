"""Requests of one row in JSON whose wording was read before: clients change the numbers, at most the id."""

import struct

import msgspec

from serving.runtime.parsed import Parsed, row_of
from serving.runtime.v2_forms import NOTHING, id_at_end, id_in, parted

_MOST, _LONGEST_BYTES, _PATIENCE = 64, 1024, 1000
_DATA, _ID, _ESCAPE = b'"data"', b'"id"', b"\\"
_numbers = msgspec.json.Decoder(list[float | None]).decode


class Wordings:
    """What stood round the numbers of requests that came and asked for nothing but the answer to one row."""

    __slots__ = ("_known", "_last", "_pack", "_patience")

    def __init__(self, width: int) -> None:
        """Know none yet; `width` is the number of the matrix's columns."""
        self._known: set[tuple[bytes, bytes]] = set()
        self._last: tuple[bytes, bytes, str | None] = b"", b"", None
        """Before and after the numbers of the request that came last, and its id."""
        self._pack = struct.Struct(f"={width}f").pack
        self._patience = _PATIENCE
        """Requests that cannot be learnt and are looked at all the same: it costs as much as it may gain."""

    def __len__(self) -> int:
        """How many are known."""
        return len(self._known)

    def read(self, body: bytes) -> Parsed | None:
        """The row of a request whose wording is known; None for any other."""
        before, after, request_id = self._last
        if not before:
            return None
        if not (body.startswith(before) and body.endswith(after)):
            found = self._recognised(body)
            if found is None:
                return None
            before, after, request_id = found
        try:
            row = _numbers(body[len(before) : len(body) - len(after)])
            return Parsed(1, row, request_id, packed=self._pack(*row))  # type: ignore[arg-type]  # packing None fails
        except struct.error:  # looking for what is missing in every row would cost more
            return self._with_missing(row, request_id)
        except (msgspec.MsgspecError, ValueError, OverflowError):
            return None

    def _with_missing(self, row: list[float | None], request_id: str | None) -> Parsed | None:
        known = row_of(row)
        try:
            return Parsed(1, known, request_id, packed=self._pack(*known))
        except (struct.error, OverflowError):
            return None

    def _recognised(self, body: bytes) -> tuple[bytes, bytes, str | None] | None:
        """The three parts of `_last` for a request that says what a known one said, but for its id."""
        before, after = _around(body)
        said, request_id = _parted(before, after)
        if said not in self._known or request_id is None:
            return None
        self._last = before, after, request_id or None
        return self._last

    def learn(self, body: bytes, request_id: str | None) -> None:
        """Know it again, when its only row stands in it once and its id at its beginning or its end.

        Nothing is escaped in what is kept, so `data` is spelled like that wherever it is meant; it stands
        there once, so what follows it are the numbers that were read, whatever they are.
        """
        if not self._patience:
            return
        before, after = _around(body)
        said, found = _parted(before, after)
        if found != (request_id or "") or not _plain(*said):
            self._patience -= 1
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known.add(said)
        self._last = before, after, request_id


def _around(body: bytes) -> tuple[bytes, bytes]:
    """What stands before and after the first list behind the first `data`."""
    start = body.find(b"[", body.find(_DATA))
    end = body.find(b"]", start) + 1
    return body[:start], body[end:]


def _parted(before: bytes, after: bytes) -> tuple[tuple[bytes, bytes], str | None]:
    """The same without the id, and the id: empty where there is none, None where it cannot be told.

    An id at the end leaves its name there: what ends without one is whole, and nothing may follow it.
    """
    prefix, repeated = parted(before)
    at = after.find(_ID)
    if at < 0:
        return (repeated, after), id_in(prefix)
    return (repeated, after[: at + len(_ID)]), id_at_end(after[at:]) if prefix == NOTHING else None


def _plain(repeated: bytes, after: bytes) -> bool:
    """Whether nothing in it can be taken for something else."""
    escaped = _ESCAPE in repeated or _ESCAPE in after
    once = repeated.count(_DATA) == 1 and _DATA not in after and _ID not in repeated
    return once and not escaped and len(repeated) + len(after) <= _LONGEST_BYTES
