"""What is to be made up: sizes, rates, drift, delays. Written in one line as an address."""

from datetime import UTC, datetime
from typing import Literal, Self
from urllib.parse import parse_qsl

from pydantic import Field, ValidationError, model_validator

from modelway.contract import Frozen
from modelway.errors import SourceError

SCHEME = "simulator"
FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
"""Day 0 of every scenario."""
RING_MERCHANTS = 3
"""Merchants that work together in one ring."""


class Drift(Frozen):
    """A change of the world on one day."""

    kind: Literal["covariate", "concept", "prior"]
    """covariate: all prices rise; prior: more fraud of the same kind; concept: fraud changes its face."""
    from_day: int = Field(ge=0)


class Scenario(Frozen):
    """One made-up world. The same scenario always gives the same bytes."""

    seed: int = Field(default=7, ge=0)
    days: int = Field(default=120, ge=1, le=3_650)
    cards: int = Field(default=2_000, ge=20)
    merchants: int = Field(default=300, ge=40)
    purchases_per_day: float = Field(default=0.6, gt=0)
    """Mean per card."""
    fraud_rate: float = Field(default=0.003, ge=0, lt=0.5)
    """Single frauds per purchase; bursts and rings come on top."""
    bursts_per_day: float = Field(default=0.25, ge=0)
    """Stolen cards that are emptied within minutes, per 1,000 cards and day."""
    rings: int = Field(default=4, ge=0)
    """Groups of merchants that charge skimmed cards, each for a month."""
    drift: Drift | None = None
    chargeback_median_days: float = Field(default=18.0, gt=0)
    chargeback_spread: float = Field(default=0.5, ge=0)
    """Standard deviation of the logarithm of the delay."""
    late_share: float = Field(default=0.02, ge=0, le=1)
    """Terminals that were offline: their purchases arrive hours later."""
    late_hours: float = Field(default=6.0, gt=0)
    """Mean delay of a late one."""
    disordered_share: float = Field(default=0.05, ge=0, le=1)
    """Purchases that are overtaken by others on their way, by up to five minutes."""
    dirty_share: float = Field(default=0.002, ge=0, le=0.1)
    """Share of each kind of dirt: delivered twice, refunds, unknown merchants, clocks that run ahead."""

    @model_validator(mode="after")
    def _rings_fit(self) -> Self:
        if self.rings * RING_MERCHANTS > self.merchants // 2:
            raise ValueError(f"{self.rings} rings need {self.rings * RING_MERCHANTS * 2} merchants or more")
        return self

    @property
    def address(self) -> str:
        """The one line that names this scenario: seed, days, cards, then what differs from the defaults."""
        always = ("seed", "days", "cards")
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        kept = {n: v for n, v in fields.items() if n in always or v != type(self).model_fields[n].default}
        return f"{SCHEME}?" + "&".join(f"{name}={_text(value)}" for name, value in kept.items())


def is_address(source: str) -> bool:
    """Whether a source names a scenario rather than a file."""
    return source.partition("?")[0] == SCHEME


def scenario_of(address: str) -> Scenario:
    """Read `simulator?seed=7&days=120&cards=2000&drift=concept@80`; what is left out has its default.

    Raises:
        SourceError: A name or value that `Scenario` does not have, or a name given twice.
    """
    try:
        return Scenario.model_validate(_given(address.partition("?")[2]))
    except (ValidationError, ValueError) as cause:
        raise SourceError(
            f"{address} names no scenario: {' '.join(str(cause).split())}",
            expected=f"{SCHEME}?name=value&…, with names out of: {', '.join(Scenario.model_fields)}",
            remedy=f"write for example {SCHEME}?seed=7&days=120&cards=2000&drift=concept@80",
        ) from cause


def _given(query: str) -> dict[str, object]:
    pairs = parse_qsl(query, strict_parsing=True) if query else []
    given = dict(pairs)
    if len(given) < len(pairs):
        raise ValueError("a name stands there twice")
    return {name: _drift(value) if name == "drift" else value for name, value in given.items()}


def _drift(text: str) -> dict[str, object]:
    kind, _, day = text.partition("@")
    return {"kind": kind, "from_day": day}


def _text(value: object) -> str:
    return f"{value.kind}@{value.from_day}" if isinstance(value, Drift) else str(value)
