"""How many parts a request has, counted before it is parsed.

Two bytes are enough for an empty tensor, and a parsed one takes some hundred: 16 MiB of them took 2.7 GiB
and half a minute, as many empty outputs more than five. So a long message is walked from field to field, its
values stepped over, and refused where it has more parts than any model takes.
"""

from serving.runtime.problems import RequestError

MOST_PARTS = 16_384
"""Tensors, raw contents, requested outputs, parameters and dimensions of one request."""
COUNTED_BYTES = 2 * MOST_PARTS
"""A shorter message cannot have more: a field takes two bytes."""
_INPUT, _OUTPUT = 5, 6
"""Fields that have parts of their own; of contents the values are let be."""
_VARINT, _SIZED = 0, 2
_FIXED_BYTES = {1: 8, 3: 0, 4: 0, 5: 4}
"""By wire type; the ends of a group have no value, and what lies between them counts like the rest."""
_MOST_VARINT_BYTES = 10


class _Count:
    """Of one message; stops where the bytes are no message, which the parser can say better."""

    def __init__(self, message: bytes) -> None:
        self._message, self.parts = message, 0

    def within(self, at: int, end: int, *, deep: bool) -> None:
        """Count the fields of a message; of tensors, too, where it is `deep`.

        Raises:
            RequestError: They are too many.
        """
        while at < end:
            key, at = self._varint(at, end)
            begin, at = self._value(key & 7, at, end)
            self.parts += 1
            if self.parts > MOST_PARTS:
                raise RequestError(f"a request may have {MOST_PARTS} tensors, parameters and the like")
            if deep and key >> 3 in {_INPUT, _OUTPUT} and key & 7 == _SIZED and at <= end:
                self.within(begin, at, deep=False)

    def _value(self, kind: int, at: int, end: int) -> tuple[int, int]:
        """Where a field's value begins and ends."""
        if kind == _SIZED:
            size, at = self._varint(at, end)
            return at, at + size
        if kind == _VARINT:
            return at, self._varint(at, end)[1]
        return at, at + _FIXED_BYTES.get(kind, end)

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        for byte in self._message[at : min(at + _MOST_VARINT_BYTES, end)]:
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:  # noqa: PLR2004 - the last one
                return value, at
        return 0, end + 1


def check_parts(message: bytes) -> None:
    """Refuse a ModelInferRequest of too many parts, before it is parsed.

    Args:
        message: Its bytes; whether they are a message is not looked at.

    Raises:
        RequestError: It has more than `MOST_PARTS`.
    """
    if len(message) > COUNTED_BYTES:
        _Count(message).within(0, len(message), deep=True)
