"""Everything one load test is told, and how it travels to its process."""

import math
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from loadtests.profiles import PROFILES, profile_of
from modelway.contract import Frozen, Slo
from modelway.errors import ConfigError

SLO_FILE = "slo.yaml"
_LISTS = ("columns", "revisions", "watch_pids")
"""Options of several values; commas part them on the command line."""


class LoadOptions(Frozen):
    """One load test."""

    url: str = Field(pattern=r"^https?://")
    """Scheme, host and port of the gateway or server."""
    model: str
    rows: Path
    """Parquet: one column per input, by name."""
    out: Path
    """Folder for verdict, CSV and HTML; created."""
    slo: Slo
    rate_rps: float | None = Field(default=None, gt=0)
    """Offered requests per second; the SLO's rate unless said otherwise."""
    duration_s: float | None = Field(default=None, gt=0)
    """The profile's unless said otherwise."""
    profile: str = "steady"
    arrivals: Literal["poisson", "even"] = "poisson"
    users: int | None = Field(default=None, ge=1)
    """Connections. The default leaves room for answers four times slower than the SLO."""
    key: str | None = None
    """Column sent as the row's subject, e.g. `loan_id`: the prediction log keeps it."""
    event_time: str | None = None
    """Column sent as `event_time`."""
    columns: tuple[str, ...] | None = None
    """Inputs to send; every column but key, times and label unless said otherwise."""
    rows_per_request: int = Field(default=1, ge=1)
    once: bool = False
    """Send every row once, in the file's order, and end."""
    timeout_s: float = Field(default=5.0, gt=0)
    """A request without an answer by then has failed."""
    seed: int = 0
    """Of the arrivals, of which rows are sent, and of which revision is asked first."""
    revisions: tuple[str, str] | None = None
    """Compare these two: every body goes to both, pinned by `x-revision`."""
    purpose: Literal["user", "probe", "drill", "loadtest"] = "loadtest"
    """Said with every request, for the prediction log; a replay that is to count as users' is theirs."""
    watch_pids: tuple[int, ...] = ()
    """Processes of this machine whose memory is the server's; their children count with them."""
    metrics_url: str | None = Field(default=None, pattern=r"^https?://")
    """Where the server says `process_resident_memory_bytes`, for one on another machine."""

    @model_validator(mode="after")
    def _enough_users(self) -> Self:
        """With fewer, an answer within the SLO would make the generator late (Little's law)."""
        if self.once and self.revisions:
            raise ValueError("`once` sends every row once; a comparison sends each to both revisions")
        if self.revisions and self.revisions[0] == self.revisions[1]:
            raise ValueError(f"both revisions are {self.revisions[0]!r}")
        needed = self.users_needed  # asks the profile, which must exist
        if self.users is not None and self.users < needed:
            raise ValueError(
                f"{self.users} users cannot offer {self.peak_rps:g} rps when an answer may take "
                f"{self.slo.latency_limit_ms:g} ms: at least {needed} are needed"
            )
        return self

    @property
    def rate(self) -> float:
        """Offered rate, requests per second, before the profile's factors."""
        return self.rate_rps or self.slo.rate_rps

    @property
    def peak_rps(self) -> float:
        """Highest rate of the profile."""
        return self.rate * max(phase.factor for phase in profile_of(self.profile).phases)

    @property
    def users_needed(self) -> int:
        """Requests in flight at the peak when every answer takes as long as the SLO allows."""
        return math.ceil(self.peak_rps * self.slo.latency_limit_ms / 1000.0)

    @property
    def user_count(self) -> int:
        """Connections to open."""
        return self.users or min(max(8, 4 * self.users_needed), 1000)

    def arguments(self) -> list[str]:
        """Command-line arguments of `python -m loadtests` that say the same."""
        given = {
            name: getattr(self, name)
            for name in type(self).model_fields
            if name not in {"slo", "once", *_LISTS} and getattr(self, name) is not None
        }
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
        flags += [f"--slo={self.out / SLO_FILE}"]
        lists = {name: getattr(self, name) for name in _LISTS}
        flags += [
            f"--{name.replace('_', '-')}={','.join(map(str, values))}"
            for name, values in lists.items()
            if values
        ]
        return [*flags, "--once"] if self.once else flags


def make_options(**given: object) -> LoadOptions:
    """Options from loose values; None counts as not given.

    Raises:
        ConfigError: A value is missing, misspelt or out of range.
    """
    try:
        return LoadOptions.model_validate({k: v for k, v in given.items() if v is not None})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"load test option{f' {where}' if where else 's'}: {first['msg']}",
            expected=f"values as in loadtests.options.LoadOptions; profiles: {', '.join(PROFILES)}",
            remedy="`python -m loadtests --help` lists the options and their units",
        ) from error


def read_slo(path: Path) -> Slo:
    """The SLO in a YAML file, or in a bundle's folder.

    Raises:
        ConfigError: The file is missing or says something else.
    """
    path = path / SLO_FILE if path.is_dir() else path
    try:
        return Slo.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise ConfigError(
            f"cannot read an SLO from {path}: {_told(error)}",
            expected="YAML with latency_limit_ms, latency_percentile, max_error_rate, rate_rps",
            remedy="take slo.yaml out of a bundle, or `modelway loadtest run`, which knows the use case's",
        ) from error


def _told(error: Exception) -> str:
    """What is wrong, by key where a key is, in one line."""
    if not isinstance(error, ValidationError):
        return str(error).splitlines()[0]
    keys = (".".join(map(str, one["loc"])) or "the file" for one in error.errors())
    return "; ".join(f"`{key}`: {one['msg'].lower()}" for key, one in zip(keys, error.errors(), strict=True))
