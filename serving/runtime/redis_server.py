"""Where a Redis or Valkey of the network is, and how long it may take to answer. No secret is in a file."""

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import Field, model_validator

from modelway.contract import Frozen
from modelway.errors import ConfigError

if TYPE_CHECKING:
    from redis import Redis

_PORT = 6379
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_FILES = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
"""What may follow a `?`: an authority of one's own, and a client's certificate. Never less checking."""
_EXPECTED = "redis://[USER:${PASSWORD}@]HOST[:PORT][/DB], rediss:// for TLS, or ${NAME} for all of it"


class RedisServer(Frozen):
    """One server, by its address."""

    url: str
    """`rediss://` is TLS with the certificate checked. `${NAME}` in place of the user, the password or the
    whole is read from the environment when the server starts; a password that is written out is refused."""
    connect_timeout_ms: float = Field(default=1000.0, gt=0, le=60_000)
    timeout_ms: float = Field(default=250.0, gt=0, le=60_000)
    """Of one answer."""

    @model_validator(mode="after")
    def _reads(self) -> Self:
        if not _VARIABLE.fullmatch(self.url):
            parts = _parts(self.url)
            if parts.password and not _VARIABLE.fullmatch(parts.password):
                raise ValueError("a password is written in it; write ${NAME} and set that variable")
        return self

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the environment that it needs."""
        return tuple(dict.fromkeys(_VARIABLE.findall(self.url)))

    @property
    def host(self) -> str | None:
        """Its host where the file says it; None where the environment does."""
        return None if _VARIABLE.fullmatch(self.url) else _parts(self.url).hostname


def _parts(url: str) -> SplitResult:
    """A URL that says a server and nothing that weakens TLS. Messages never hold the URL."""
    parts = urlsplit(url)
    database = parts.path.removeprefix("/")
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname or not (parts.port or _PORT):
        raise ValueError(f"no address of a Redis; expected {_EXPECTED}")
    if database and not (database.isascii() and database.isdigit()):
        raise ValueError("its path is no number of a database")
    unknown = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)} - _FILES
    if unknown or (parts.query and parts.scheme == "redis"):
        named = ", ".join(sorted(unknown)) or "files of TLS without rediss://"
        raise ValueError(f"it asks for {named}; expected with rediss:// alone: {', '.join(sorted(_FILES))}")
    return parts


def redis_client(server: RedisServer, connections: int) -> "Redis":
    """A client that is connected to nothing yet; every call waits as long as `server` allows.

    Args:
        server: Where and how long.
        connections: How many threads may call at one time.

    Raises:
        ConfigError: A variable is not set, says no address, or the package `redis` is not installed.
    """
    try:
        from redis import BlockingConnectionPool, ConnectionError, Redis  # noqa: PLC0415, A004 - only where asked for
        from redis.backoff import NoBackoff  # noqa: PLC0415 - as above
        from redis.connection import Connection, SSLConnection  # noqa: PLC0415 - as above
        from redis.retry import Retry  # noqa: PLC0415 - as above
    except ImportError as error:
        raise ConfigError(
            "the package `redis` is not installed",
            expected="what `modelway[serving]` brings",
            remedy="pip install 'redis>=7,<9'",
        ) from error
    told = _told(server)
    pool = BlockingConnectionPool(  # type: ignore[no-untyped-call]  # redis types its pools half
        connection_class=SSLConnection if told.pop("ssl") else Connection,
        max_connections=connections,
        timeout=server.timeout_ms / 1000,
        socket_connect_timeout=server.connect_timeout_ms / 1000,
        socket_timeout=server.timeout_ms / 1000,
        # A connection that was closed meanwhile is made anew, once; a server that is slow is not asked twice.
        retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
        protocol=2,
        **told,
    )
    return Redis(connection_pool=pool)


def _told(server: RedisServer) -> dict[str, Any]:
    """What the client is given of the address, secrets filled in."""
    whole = _VARIABLE.fullmatch(server.url)
    try:
        parts = _parts(_filled(server.url) if whole else server.url)
    except ValueError as error:
        raise ConfigError(
            f"${{{server.variables[0]}}}: {error}", expected=_EXPECTED, remedy="correct the variable"
        ) from error
    read = unquote if whole else _filled
    told: dict[str, Any] = {
        "host": parts.hostname,
        "port": parts.port or _PORT,
        "ssl": parts.scheme == "rediss",
    }
    named: Mapping[str, str | None] = {"username": parts.username, "password": parts.password}
    told |= {name: read(value) for name, value in named.items() if value}
    told |= {"db": int(parts.path.removeprefix("/") or 0)} | dict(parse_qsl(parts.query))
    return told


def _filled(text: str) -> str:
    """The text with each `${NAME}` replaced by the environment's."""
    return _VARIABLE.sub(lambda found: _variable(found[1]), text)


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise ConfigError(
            f"the environment has no `{name}`, which a Redis address in the settings names",
            expected=f"{name}=… where the server starts",
            remedy="export it; for pods put it in the Secret that --redis-secret names",
        )
    return value
