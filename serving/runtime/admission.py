"""Whom the server lets in, how often, and how many at one time. Asked before a body is read.

Every protocol asks the same: `Admission.identify` says who it is, `enter` whether there is room, and `leave`
is called once for each that entered, when its answer is on its way.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from math import ceil
from time import monotonic

import msgspec

from serving.runtime.exposition import Family
from serving.runtime.keys import ApiKey, Keys
from serving.runtime.net.turn import Turn
from serving.runtime.settings import Settings
from serving.runtime.transport import Head

MAX_CLIENTS = 10_000
"""Clients whose rate is remembered; beyond them who was quiet for longest is forgotten and starts anew."""
_RETRY_S = 1
_BEARER = "bearer "
_MODELS = ("/v2/models/", "/v1/models/", "grpc:")
"""What an address of a model begins with, over HTTP and as gRPC's calls are named; the name follows."""
_ABOUT_THE_SERVER = frozenset({"/v2", "/metrics"})
_OPEN_TO_ALL = ("/v2/health/live", "/v2/health/ready")


class Denial(msgspec.Struct, frozen=True):
    """Why a request is not let in."""

    status: int
    reason: str
    """For the metrics."""
    message: str
    headers: tuple[tuple[str, str], ...] = ()


class Client(msgspec.Struct, frozen=True):
    """Who asks: the name of a key, else the address of the peer."""

    name: str


class TokenBuckets:
    """Each client may send `burst` requests at once and `rate_rps` a second in the long run.

    Source: the generic cell rate algorithm, ITU-T I.371: one number a client, the moment at which its bucket
    is full again.
    """

    def __init__(
        self,
        rate_rps: float,
        burst: int,
        *,
        max_clients: int = MAX_CLIENTS,
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        """All buckets full."""
        self._step_s, self._slack_s = 1 / rate_rps, (burst - 1) / rate_rps
        self._max_clients, self._now_s = max_clients, now_s
        self._full_at_s: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Clients that are remembered."""
        return len(self._full_at_s)

    def take(self, client: str) -> float:
        """Take a token; 0 if there was one, else the seconds until there is."""
        with self._lock:
            now_s = self._now_s()
            full_at_s = max(now_s, self._full_at_s.get(client, now_s))
            wait_s = full_at_s - self._slack_s - now_s
            if wait_s > 0:
                self._full_at_s.move_to_end(client)
                return wait_s
            self._full_at_s[client] = full_at_s + self._step_s
            self._full_at_s.move_to_end(client)
            if len(self._full_at_s) > self._max_clients:
                self._full_at_s.popitem(last=False)
            return 0.0


class Admission:
    """What the settings say about clients, applied."""

    def __init__(self, settings: Settings, turn: Turn | None = None) -> None:
        """Read the keys, if there are to be any.

        Args:
            settings: Keys and limits.
            turn: Of the loop on which clients come; ended early where there is no room.

        Raises:
            ConfigError: The keys file cannot be used.
        """
        limits, self._turn = settings.limits, turn or Turn()
        self._keys = None if settings.keys_file is None else Keys(settings.keys_file)
        self._buckets = None if limits.rate_rps is None else TokenBuckets(limits.rate_rps, limits.burst)
        self._max_in_flight = limits.max_in_flight
        self._open = _OPEN_TO_ALL if settings.metrics_need_key else (*_OPEN_TO_ALL, "/metrics")
        self._in_flight = 0
        self._denied: Counter[str] = Counter()
        self._lock = threading.Lock()

    def identify(self, head: Head) -> Client | Denial:
        """Who asks, or why that is not enough. Health is for all, metrics where the settings say so."""
        peer = head.client.rpartition(":")[0] or head.client
        if self._keys is None or head.path in self._open:
            return Client(peer)
        presented = _presented(head)
        if presented is None:
            return self._deny(
                _unknown("key_missing", "send a key: `authorization: Bearer KEY` or `x-api-key`")
            )
        key = self._keys.find(presented)
        if key is None:
            return self._deny(_unknown("key_unknown", "the key is not known, or not valid any more"))
        if not _may(key, head.path):
            return self._deny(Denial(403, "key_forbidden", "the key is not for this model or address"))
        return Client(f"key:{key.name}")

    def enter(self, client: Client) -> Denial | None:
        """Let a request in, or say why not; one that was let in must `leave`."""
        if self._buckets is not None and (wait_s := self._buckets.take(client.name)):
            message = f"too many requests; the next one in {wait_s:.3f} s"
            return self._deny(Denial(429, "rate", message, (("retry-after", str(ceil(wait_s))),)))
        if self._entered():
            return None
        self._turn.settle()  # who waits for the end of the turn is answered before anybody is turned away
        if self._entered():
            return None
        message = f"{self._max_in_flight} requests are under way, which is all this server takes"
        return self._deny(Denial(503, "in_flight", message, (("retry-after", str(_RETRY_S)),)))

    def _entered(self) -> bool:
        with self._lock:
            room = self._max_in_flight is None or self._in_flight < self._max_in_flight
            self._in_flight += room
            return room

    def leave(self) -> None:
        """Its answer is on its way."""
        with self._lock:
            self._in_flight -= 1

    def families(self) -> Iterable[Family]:
        """Who was turned away, and how many are in."""
        name = "modelway_denied_total"
        with self._lock:
            samples = [f'{name}{{reason="{reason}"}} {n}' for reason, n in sorted(self._denied.items())]
            in_flight = (
                f'modelway_in_flight_requests{{limit="{self._max_in_flight or ""}"}} {self._in_flight}'
            )
        yield Family(name, "counter", "Requests that were not let in, by reason.", samples)
        yield Family("modelway_in_flight_requests", "gauge", "Requests under way.", [in_flight])
        if self._keys is not None:
            yield from self._keys.families()

    def _deny(self, denial: Denial) -> Denial:
        with self._lock:
            self._denied[denial.reason] += 1
        return denial


def _presented(head: Head) -> str | None:
    bearer: str | None = head.headers.get("authorization")
    if bearer is not None and bearer.lower().startswith(_BEARER):
        return bearer[len(_BEARER) :].strip()
    key: str | None = head.headers.get("x-api-key")
    return key


def _unknown(reason: str, message: str) -> Denial:
    return Denial(401, reason, message, (("www-authenticate", 'Bearer realm="modelway"'),))


def _may(key: ApiKey, path: str) -> bool:
    """A key for certain models opens their addresses and what is about the server, but changes nothing."""
    if key.models is None:
        return True
    for start in _MODELS:
        if path.startswith(start):
            return path.removeprefix(start).partition("/")[0].partition(":")[0] in key.models
    return path in _ABOUT_THE_SERVER
