"""What one server process was told: address, limits, places of secrets. Closed: a typo fails at the start."""

from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from modelway.contract import Frozen, finding
from modelway.errors import ConfigError
from serving.runtime.redis_server import RedisServer

MAX_BODY_BYTES = 16 * 1024 * 1024


class Limits(Frozen):
    """What the server refuses before it costs anything."""

    max_body_bytes: int = Field(default=MAX_BODY_BYTES, ge=1024)
    max_rows: int | None = Field(default=None, ge=1)
    """Rows of one request."""
    max_in_flight: int | None = Field(default=None, ge=1)
    """Requests under way; more are answered 503 with Retry-After."""
    max_connections: int | None = Field(default=None, ge=1)
    """Of all ports together; who comes beyond them gets an idle one's place, or waits outside."""
    rate_rps: float | None = Field(default=None, gt=0)
    """Requests per second and client, on average; more are answered 429 with Retry-After."""
    client_deadlines: bool = False
    """Whether clients may set a deadline of their own for models whose policy has none."""
    burst: int = Field(default=20, ge=1)
    """Requests that a client may send at once."""


class Tls(Frozen):
    """PEM files of the server's certificate and key."""

    certificate: Path
    """The server's own first, then those between it and the root."""
    key: Path
    min_version: Literal["1.2", "1.3"] = "1.3"
    client_ca: Path | None = None
    """Clients must show a certificate of this authority."""


class AccessLog(Frozen):
    """One JSON line a request on standard output."""

    share: float = Field(default=1.0, gt=0, le=1)
    """Part of the requests that is written; one that failed always is."""


class Jobs(Frozen):
    """Requests that are answered later."""

    file: Path | None = None
    """SQLite file on a local disk; the replicas of one machine may share it …"""
    redis: RedisServer | None = None
    """… or a Redis that keeps what it is given; all servers of a network may share it."""
    prefix: str = Field(default="modelway:jobs:", min_length=1)
    """Of the keys in that Redis."""
    max_queued: int = Field(default=1000, ge=1)
    """Jobs that may wait; more are answered 429."""
    keep_s: float = Field(default=86_400.0, gt=0)
    """How long an answer can be fetched."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.file is None) is (self.redis is None):
            raise ValueError("give one of `file` and `redis`")
        return self


class Settings(Frozen):
    """Everything that `--settings FILE` may say."""

    limits: Limits = Limits()
    tls: Tls | None = None
    keys_file: Path | None = None
    """Hashes of API keys, read again when it changes. Without it nobody is asked for a key."""
    metrics_need_key: bool = False
    """Whether `/metrics` is for those with a key; health is for all."""
    grpc_port: int | None = Field(default=None, ge=0, le=65535)
    jobs: Jobs | None = None
    """Requests that ask for `?async` are answered later; without this they are refused."""
    online_store: RedisServer | Path | None = Field(default=None, union_mode="left_to_right")
    """Feature store for requests by key: a SQLite file of this machine, or a Redis of the network."""
    traces: str | None = None
    """OTLP endpoint of a trace collector, `http://host:4318/v1/traces`."""
    access_log: AccessLog | None = None

    @property
    def observed(self) -> bool:
        """Whether each request is looked at on its way: it then has an id, which its answer carries."""
        return self.traces is not None or self.access_log is not None

    @property
    def guarded(self) -> bool:
        """Whether anybody may be turned away before the body is read."""
        limits = self.limits
        return any(each is not None for each in (self.keys_file, limits.max_in_flight, limits.rate_rps))


def read_settings(path: Path) -> Settings:
    """Read a YAML or JSON file.

    Raises:
        ConfigError: It cannot be read, or says what it may not; the message names the key.
    """
    try:
        return Settings.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}", expected="a YAML file", remedy="correct --settings"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no YAML: {error}", expected="a YAML mapping") from error
    except ValidationError as error:
        raise ConfigError(
            f"{path}: {finding(error.errors()[0])}",
            expected="the keys of serving.runtime.settings.Settings",
            remedy="see docs/reference/configuration.md",
        ) from error
