"""Header fields as HPACK blocks (RFC 7541): those of requests read once, those of answers written once.

A block that leaves the dynamic table as it was gives the same fields whenever it comes again with the same
table. Clients send the same fields call after call, so nearly every block is looked up instead of decoded.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Generic, TypeVar

from hpack import Decoder, HPACKError, OversizedHeaderListError
from hpack.table import HeaderTable

from serving.runtime.grpc.frames import COMPRESSION_ERROR, ENHANCE_YOUR_CALM, ConnectionFault

MAX_FIELDS_BYTES = 64 * 1024
"""Fields of one block, unpacked (name, value and 32 each); a client that sends more is cut off."""
_KEPT_BLOCKS = 64
_LONGEST_KEPT_BYTES = 1024
_STATIC = {b":status": b"\x08", b"content-type": b"\x0f\x10"}
"""Names of the static table, in a literal that enters no table: 8, and 31 as 15 and 16 more."""
_LEAST_LONG = 127

Fields = list[tuple[bytes, bytes]]
T = TypeVar("T")


class _Table(HeaderTable):
    """A dynamic table that says whether it has changed."""

    changed = False

    def add(self, name: bytes, value: bytes) -> None:
        self.changed = True
        super().add(name, value)

    @property
    def maxsize(self) -> int:
        return self._maxsize

    @maxsize.setter
    def maxsize(self, newmax: int) -> None:
        self.changed = True
        HeaderTable.maxsize.__set__(self, newmax)  # type: ignore[attr-defined]  # a property, which mypy takes for an int


class FieldReader(Generic[T]):
    """One connection's blocks, in the order in which they came."""

    def __init__(self, understand: Callable[[Fields], T]) -> None:
        """`understand` makes of fields what is kept of them; it must depend on nothing else."""
        self._understand = understand
        self._decoder = Decoder(MAX_FIELDS_BYTES)
        self._table = self._decoder.header_table = _Table()
        self._known: dict[bytes, T] = {}

    def read(self, block: bytes) -> T:
        """What a block says.

        Raises:
            ConnectionFault: It cannot be decoded; neither can any later one.
        """
        known = self._known.get(block)
        return self._decoded(block) if known is None else known

    def _decoded(self, block: bytes) -> T:
        self._table.changed = False
        try:
            fields = [(name, value) for name, value in self._decoder.decode(block, raw=True)]
        except OversizedHeaderListError as error:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many header fields") from error
        except (HPACKError, ValueError, IndexError) as error:
            raise ConnectionFault(COMPRESSION_ERROR, "header fields cannot be decoded") from error
        understood = self._understand(fields)
        if self._table.changed:
            self._known.clear()
        elif len(block) <= _LONGEST_KEPT_BYTES:
            if len(self._known) >= _KEPT_BLOCKS:
                self._known.clear()
            self._known[block] = understood
        return understood


def _length(size: int) -> bytes:
    """An integer with a prefix of seven bits (RFC 7541, 5.1)."""
    if size < _LEAST_LONG:
        return bytes((size,))
    size, said = size - _LEAST_LONG, bytearray((_LEAST_LONG,))
    while size > _LEAST_LONG:
        said.append(size & 0x7F | 0x80)
        size >>= 7
    said.append(size)
    return bytes(said)


@lru_cache(maxsize=1024)
def field(name: bytes, value: bytes) -> bytes:
    """One field that enters no table, neither ours nor the client's; its name in lower case."""
    if (name, value) == (b":status", b"200"):
        return b"\x88"
    named = _STATIC.get(name) or b"\x00" + _length(len(name)) + name
    return named + _length(len(value)) + value


def block(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A block of fields, in order."""
    return b"".join(field(name, value) for name, value in fields)
