"""How a model wants to be served: what belongs to the model and not to the place it runs in."""

from typing import Literal, Self

from pydantic import Field, model_validator

from modelway.contract import Frozen

POLICY_FILE = "serving.json"
"""Name inside a bundle; absent where the model asks for nothing special."""


class Batching(Frozen):
    """Requests that wait for a busy model are scored together."""

    max_rows: int = Field(default=64, ge=2)
    """Rows of one run of the graph."""
    max_delay_ms: float = Field(default=2.0, ge=0)
    """How long a request may wait for company while the model is busy. An idle model never waits."""


class Cache(Frozen):
    """Answers kept by content and revision."""

    entries: int = Field(default=10_000, ge=1)
    ttl_s: float = Field(default=60.0, gt=0)


class ByKey(Frozen):
    """Features come from the online store when a request names only its subject."""

    missing: Literal["default", "reject", "fallback"] = "reject"
    """What is done for a key that the store does not know. `default` scores its columns as missing."""
    entity_missing: Literal["default", "reject", "fallback"] = "default"
    """What is done where a view has no row for an entity that a known subject names, such as a new industry.
    The join of training gives a missing value there."""
    stale: Literal["default", "reject", "fallback"] = "reject"
    """What is done for values older than their feature's time to live."""
    subject_ttl_days: int | None = Field(default=None, gt=0)
    """Keep each subject's own row in the online store, and for how long after its event it counts; None: a
    request brings it, and only feature views are read."""


class Fallback(Frozen):
    """What is answered when the model or the store fails. Announced in the answer and counted."""

    probability: float = Field(ge=0, le=1)


class ServingPolicy(Frozen):
    """A use case's wishes; each part that is None is not in the chain at all."""

    batching: Batching | None = None
    cache: Cache | None = None
    by_key: ByKey | None = None
    fallback: Fallback | None = None
    deadline_ms: float | None = Field(default=None, gt=0)
    """From a request's head; a request may ask for less. Later than that is answered 504."""
    masked: dict[str, Literal["drop", "hash"]] = Field(default_factory=dict)
    """Columns that the prediction log does not keep as they are."""

    @model_validator(mode="after")
    def _rule_is_there(self) -> Self:
        wished = self.by_key and "fallback" in {
            self.by_key.missing,
            self.by_key.stale,
            self.by_key.entity_missing,
        }
        if wished and self.fallback is None:
            raise ValueError("`by_key` asks for the fallback rule, and `fallback` names none")
        return self
