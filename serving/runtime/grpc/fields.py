"""Header fields as HPACK blocks (RFC 7541): those of requests read once, those of answers written once.

A block that leaves the dynamic table as it was gives the same fields whenever it comes again with the same
table. Clients send the same fields call after call, so nearly every block is looked up instead of decoded.
Tables and Huffman's code are those of the library `hpack`; its decoder takes ten times as long as `_Walk`.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Generic, TypeVar

from hpack import HPACKError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from serving.runtime.grpc.frames import COMPRESSION_ERROR, ENHANCE_YOUR_CALM, ConnectionFault

MAX_FIELDS_BYTES = 64 * 1024
"""Fields of one block, unpacked (name, value and 32 each); a client that sends more is cut off."""
_KEPT_BLOCKS = 64
_LONGEST_KEPT_BYTES = 1024
_STATIC = {b":status": b"\x08", b"content-type": b"\x0f\x10"}
"""Names of the static table, in a literal that enters no table: 8, and 31 as 15 and 16 more."""
_LEAST_LONG = 127
_INDEXED, _ADDED, _RESIZED, _HUFFMAN = 0x80, 0x40, 0x20, 0x80
_MOST_SHIFT = 28
"""Integers are below 2^35; the largest that means anything is a length."""

Fields = list[tuple[bytes, bytes]]
T = TypeVar("T")


class _Walk:
    """Through one block, field by field."""

    def __init__(self, table: HeaderTable, block: bytes) -> None:
        """Begin at its first byte; `fields` gives what is there and puts into `table` what belongs there."""
        self._table, self._block, self._at = table, block, 0
        self.changed = False
        """Whether the table is not what it was."""

    def fields(self) -> Fields:
        """All of them.

        Raises:
            HPACKError: An index or a code that there is not.
            ConnectionFault: They do not end where they should, or are too many.
        """
        found: Fields = []
        block, end, size = self._block, len(self._block), 0
        while self._at < end:
            first = block[self._at]
            if first & _INDEXED:
                pair = self._table.get_by_index(self._integer(0x7F))
            elif first & _ADDED:
                pair = self._literal(0x3F)
                self._table.add(*pair)
                self.changed = True
            elif first & _RESIZED:
                self._resize(first=not found)
                continue
            else:
                pair = self._literal(0x0F)
            size += len(pair[0]) + len(pair[1]) + 32
            if size > MAX_FIELDS_BYTES:
                raise ConnectionFault(ENHANCE_YOUR_CALM, "too many header fields")
            found.append(pair)
        return found

    def _resize(self, *, first: bool) -> None:
        size = self._integer(0x1F)
        if not first or size > HeaderTable.DEFAULT_SIZE:
            raise ConnectionFault(COMPRESSION_ERROR, "the table is resized too late or too far")
        self._table.maxsize = size
        self.changed = True

    def _literal(self, mask: int) -> tuple[bytes, bytes]:
        index = self._integer(mask)
        name = self._table.get_by_index(index)[0] if index else self._text()
        return name, self._text()

    def _text(self) -> bytes:
        coded = self._block[self._at] & _HUFFMAN
        size = self._integer(0x7F)
        begin, self._at = self._at, self._at + size
        text = self._block[begin : self._at]
        if len(text) < size:
            raise ConnectionFault(COMPRESSION_ERROR, "header fields are cut off")
        return decode_huffman(text) if coded else text

    def _integer(self, mask: int) -> int:
        """In the low bits of a byte, or in the bytes behind it where they are all ones (RFC 7541, 5.1)."""
        value, shift = self._block[self._at] & mask, 0
        self._at += 1
        if value < mask:
            return value
        while (more := self._block[self._at]) & 0x80:
            value += (more & 0x7F) << shift
            shift, self._at = shift + 7, self._at + 1
            if shift > _MOST_SHIFT:
                raise ConnectionFault(COMPRESSION_ERROR, "an integer without end")
        self._at += 1
        return value + (more << shift)


class FieldReader(Generic[T]):
    """One connection's blocks, in the order in which they came."""

    def __init__(self, understand: Callable[[Fields], T]) -> None:
        """`understand` makes of fields what is kept of them; it must depend on nothing else."""
        self._understand, self._table = understand, HeaderTable()
        self._known: dict[bytes, T] = {}

    def read(self, block: bytes) -> T:
        """What a block says.

        Raises:
            ConnectionFault: It cannot be decoded; neither can any later one.
        """
        known = self._known.get(block)
        return self._decoded(block) if known is None else known

    def _decoded(self, block: bytes) -> T:
        walk = _Walk(self._table, block)
        try:
            fields = walk.fields()
        except (HPACKError, IndexError) as error:
            raise ConnectionFault(COMPRESSION_ERROR, "header fields cannot be decoded") from error
        understood = self._understand(fields)
        if walk.changed:
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
