"""What people said about a version: approvals and rejections, each with its reason. Pure."""

from collections.abc import Iterable

from pydantic import AwareDatetime

from modelway.contract import Frozen

APPROVED = "model.approved"
REJECTED = "model.rejected"


class Opinion(Frozen):
    """One person's word on one version."""

    who: str
    why: str
    at: AwareDatetime
    approved: bool
    account: str | None = None
    """Account of the machine it was given from; a name alone is only a claim."""


def person(name: str) -> str:
    """One spelling per person: case and surrounding spaces make no second one."""
    return name.strip().casefold()


def rejection(opinions: Iterable[Opinion]) -> Opinion | None:
    """The first rejection. Nothing takes one back: the bundle is registered anew instead."""
    return next((opinion for opinion in opinions if not opinion.approved), None)


def approvals(opinions: Iterable[Opinion]) -> dict[str, Opinion]:
    """The newest approval of each person, however often they gave one."""
    return {person(opinion.who): opinion for opinion in opinions if opinion.approved}


def after_evaluation(opinions: Iterable[Opinion]) -> tuple[Opinion, ...]:
    """What still counts once a version was evaluated again: an approval rested on the older numbers."""
    return tuple(opinion for opinion in opinions if not opinion.approved)
