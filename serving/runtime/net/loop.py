"""The loop: who is ready, in turn, on one thread."""

import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import gmtime, monotonic, time

from serving.runtime.journal import journal
from serving.runtime.net.poller import Poller, poller
from serving.runtime.net.turn import Turn

_TURN_S = 1.0
"""How often the loop looks round when nothing happens."""
_MOST_AT_ONCE = 16
"""Answers that wait for each other; more would wait for long."""
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Loop:
    """Calls whoever is registered for a descriptor when it is ready, all on one thread."""

    def __init__(self, name: str) -> None:
        """Nothing runs yet."""
        self.poller: Poller = poller()
        self.handlers: dict[int, Callable[[], None]] = {}
        self.now_s = monotonic()
        """When the present turn began; a clock that costs nothing to read."""
        self.date = b""
        """The `date` header of answers of this second (RFC 9110, 6.6.1)."""
        self.ident = 0
        """Of its thread."""
        self.turn = Turn()
        self.outbox: list[Callable[[], None]] = []
        """What is to be sent at the end of this turn."""
        self._soon: deque[Callable[[], None]] = deque()
        self._rounds: list[Callable[[], None]] = []
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._running, self._ended = True, threading.Event()
        self.watch(self._woken.fileno(), self._wake)
        self._second = 0

    def start(self) -> None:
        """Begin, on a thread of its own."""
        self._read_clocks()
        self._thread.start()

    def watch(self, descriptor: int, handler: Callable[[], None], *, shared: bool = False) -> None:
        """Call `handler` whenever `descriptor` can be read."""
        self.handlers[descriptor] = handler
        self.poller.add(descriptor, shared=shared)

    def forget(self, descriptor: int) -> None:
        """Call nobody for it any more."""
        if self.handlers.pop(descriptor, None) is not None:
            with suppress(OSError, KeyError, ValueError):  # it may be broken already
                self.poller.remove(descriptor)

    def every_round(self, look: Callable[[], None]) -> None:
        """Call `look` about once a second."""
        self._rounds.append(look)

    def soon(self, call: Callable[[], None]) -> None:
        """Call it on the loop's thread, from any thread."""
        self._soon.append(call)
        with suppress(BlockingIOError, OSError):  # full: the loop wakes anyway; closed: it has ended
            self._waker.send(b"\0")

    def stop(self, wait_s: float) -> bool:
        """End after what was asked for so far; whether it did within `wait_s` seconds."""
        self.soon(self._end)
        return self._ended.wait(wait_s)

    def settle(self) -> None:
        """Do what was left for the end of this turn."""
        self.turn.settle()

    def _end(self) -> None:
        self._running = False

    def _wake(self) -> None:
        with suppress(BlockingIOError):
            while len(self._woken.recv(4096)) == 4096:  # noqa: PLR2004 - read until nothing is left
                pass
        for _ in range(len(self._soon)):
            self._guarded(self._soon.popleft())

    def _run(self) -> None:
        self.ident = self.turn.ident = threading.get_ident()
        ready, look_at_s = self.poller.ready, self.now_s + _TURN_S
        while self._running:
            found = ready(_TURN_S)
            self._read_clocks()
            self._turn(found)
            if self.now_s >= look_at_s:
                look_at_s = self.now_s + _TURN_S
                for look in self._rounds:
                    self._guarded(look)
            self.settle()
            if self.outbox:
                self._send()
        self.poller.close()
        for end in (self._woken, self._waker):
            end.close()
        self._ended.set()

    def _turn(self, found: list[tuple[int, int]]) -> None:
        handlers, outbox = self.handlers, self.outbox
        for descriptor, _ in found:
            handler = handlers.get(descriptor)
            if handler is None:  # someone before it in this turn has closed it
                continue
            try:
                handler()
            except Exception as error:  # noqa: BLE001 - one that fails must not take the others with it
                journal("connection_failed", error=repr(error))
            if len(outbox) >= _MOST_AT_ONCE:
                self._send()

    def _send(self) -> None:
        for send in self.outbox:
            self._guarded(send)
        self.outbox.clear()

    def _read_clocks(self) -> None:
        self.now_s = monotonic()
        second = int(time())
        if second != self._second:
            self._second, self.date = second, _date(second)

    @staticmethod
    def _guarded(call: Callable[[], None]) -> None:
        """One that fails must not take the others with it."""
        try:
            call()
        except Exception as error:  # noqa: BLE001 - as said
            journal("connection_failed", error=repr(error))


def _date(second: int) -> bytes:
    """IMF-fixdate (RFC 9110, 5.6.7), whatever the locale."""
    at = gmtime(second)
    day, month = _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    clock = f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"
    return f"date: {day}, {at.tm_mday:02} {month} {at.tm_year} {clock} GMT\r\n".encode()
