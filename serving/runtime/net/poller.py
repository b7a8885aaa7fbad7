"""Which descriptors are ready: epoll where there is one, else what Python's `selectors` finds."""

import select
import selectors
from typing import Protocol

READ, WRITE = 1, 2


class Poller(Protocol):
    """Descriptors and what is wanted of them."""

    def add(self, descriptor: int, *, shared: bool = False) -> None:
        """Wait until it can be read; `shared`: other processes wait for it too, one of them is enough."""

    def want(self, descriptor: int, what: int) -> None:
        """Wait for `READ` or `WRITE` of it from now on."""

    def remove(self, descriptor: int) -> None:
        """Wait for it no more."""

    def ready(self, wait_s: float) -> list[tuple[int, int]]:
        """Descriptors that are ready or broken, each with a number that says nothing to us."""

    def close(self) -> None:
        """Give it back."""


class Epoll:
    """Linux."""

    def __init__(self) -> None:
        """Open one of the kernel's."""
        self._epoll = select.epoll()
        self.remove, self.close = self._epoll.unregister, self._epoll.close

    def add(self, descriptor: int, *, shared: bool = False) -> None:
        """As `Poller.add`."""
        self._epoll.register(descriptor, select.EPOLLIN | (select.EPOLLEXCLUSIVE if shared else 0))

    def want(self, descriptor: int, what: int) -> None:
        """As `Poller.want`."""
        self._epoll.modify(descriptor, select.EPOLLIN if what == READ else select.EPOLLOUT)

    def ready(self, wait_s: float) -> list[tuple[int, int]]:
        """As `Poller.ready`."""
        return self._epoll.poll(wait_s)


class Portable:
    """Everywhere else."""

    def __init__(self) -> None:
        """Open the best that this system has."""
        self._selector = selectors.DefaultSelector()

    def add(self, descriptor: int, *, shared: bool = False) -> None:
        """As `Poller.add`; every process that shares it is woken."""
        del shared
        self._selector.register(descriptor, selectors.EVENT_READ)

    def want(self, descriptor: int, what: int) -> None:
        """As `Poller.want`."""
        self._selector.modify(descriptor, selectors.EVENT_READ if what == READ else selectors.EVENT_WRITE)

    def remove(self, descriptor: int) -> None:
        """As `Poller.remove`."""
        self._selector.unregister(descriptor)

    def ready(self, wait_s: float) -> list[tuple[int, int]]:
        """As `Poller.ready`."""
        return [(key.fd, events) for key, events in self._selector.select(wait_s)]

    def close(self) -> None:
        """As `Poller.close`."""
        self._selector.close()


def poller() -> Poller:
    """The best of this machine."""
    return Epoll() if hasattr(select, "epoll") else Portable()
