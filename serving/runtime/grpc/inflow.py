"""What a client may send: windows of streams and connection, opened again in batches (RFC 9113, 5.2)."""

from collections.abc import Callable
from typing import ClassVar

from serving.runtime.grpc import frames
from serving.runtime.grpc.streams import Stream


class Inflow:
    """Counts what came and allows as much again, half a window at a time."""

    CONNECTION: ClassVar[int] = 4 * 1024 * 1024
    STREAM: ClassVar[int] = 1024 * 1024

    __slots__ = ("_came", "_send")

    def __init__(self, send: Callable[[bytes], None]) -> None:
        """Nothing came yet."""
        self._send, self._came = send, 0

    def opening(self) -> bytes:
        """The frame that opens the connection's window from what it is at the start."""
        return frames.more(0, self.CONNECTION - frames.DEFAULT_WINDOW)

    def came(self, size: int) -> None:
        """Payload of DATA, padding too, on any stream.

        Raises:
            ConnectionFault: It was more than allowed.
        """
        self._came += size
        if self._came * 2 >= self.CONNECTION:
            if self._came > self.CONNECTION:
                raise frames.ConnectionFault(
                    frames.FLOW_CONTROL_ERROR, "more data than the connection's window"
                )
            self._send(frames.more(0, self._came))
            self._came = 0

    def came_on(self, stream: Stream, size: int) -> bool:
        """The same of one stream that goes on; False where it was more than allowed."""
        stream.inflow += size
        if stream.inflow > self.STREAM:
            return False
        if stream.inflow * 2 >= self.STREAM:
            self._send(frames.more(stream.number, stream.inflow))
            stream.inflow = 0
        return True
