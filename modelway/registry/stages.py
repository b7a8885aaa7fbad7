"""The stages of a model version, as a pure state machine over what was decided.

    Development --staged--> Staging --promoted--> Production --(a successor)--> Archived
         |                     |                      ^                            |
         +------retired--------+---> Archived         +------- rolled back --------+

Production holds one version at a time. Versions that were replaced stay on a stack, so that rolling
back goes to the last one that served, then to the one before it, and never to one rolled back from.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import reduce

from modelway.contract import Frozen
from modelway.errors import TransitionError


class Stage(StrEnum):
    """Where a version stands."""

    DEVELOPMENT = "Development"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"


class Move(StrEnum):
    """What can be decided about a version."""

    REGISTERED = "model.registered"
    STAGED = "model.staged"
    PROMOTED = "model.promoted"
    ROLLED_BACK = "model.rolled_back"
    RETIRED = "model.retired"


_FROM: Mapping[Move, frozenset[Stage]] = {
    Move.STAGED: frozenset({Stage.DEVELOPMENT}),
    Move.PROMOTED: frozenset({Stage.STAGING}),
    Move.RETIRED: frozenset({Stage.DEVELOPMENT, Stage.STAGING}),
}


class Shelf(Frozen):
    """All versions of one model: their stages, and who served before whom."""

    stages: Mapping[int, Stage] = {}
    served: tuple[int, ...] = ()
    """Versions that production would fall back through; the last one is in production."""

    @property
    def production(self) -> int | None:
        """The version in production."""
        return self.served[-1] if self.served else None

    @property
    def predecessor(self) -> int | None:
        """The version a rollback would return to."""
        return self.served[-2] if len(self.served) > 1 else None

    @property
    def challenger(self) -> int | None:
        """The newest version in Staging."""
        return max((v for v, stage in self.stages.items() if stage is Stage.STAGING), default=None)

    def after(self, move: Move, version: int) -> "Shelf":
        """The shelf once `move` is made with `version`.

        For ROLLED_BACK, `version` is the one that production returns to.

        Raises:
            TransitionError: The move is not allowed from the present stages.
        """
        if move is Move.REGISTERED:
            return self._registered(version)
        if move is Move.ROLLED_BACK:
            return self._rolled_back(version)
        self._check(move, version)
        if move is Move.PROMOTED:
            return self._promoted(version)
        to = Stage.STAGING if move is Move.STAGED else Stage.ARCHIVED
        return self._with({version: to}, self.served)

    def without(self, version: int) -> "Shelf":
        """The shelf once an archived version's bundle is gone: no rollback returns to it.

        Raises:
            TransitionError: It is not archived.
        """
        if self.stages.get(version) is not Stage.ARCHIVED:
            raise TransitionError(
                f"version {version} is in {self.stages.get(version)}: it cannot be pruned",
                expected="a version in Archived",
                remedy="`modelway models retire` archives a version that never reached production",
            )
        return self._with({}, tuple(v for v in self.served if v != version))

    def _with(self, changed: Mapping[int, Stage], served: tuple[int, ...]) -> "Shelf":
        return Shelf(stages={**self.stages, **changed}, served=served)

    def _check(self, move: Move, version: int) -> None:
        stage = self.stages.get(version)
        if stage not in _FROM[move]:
            raise TransitionError(
                f"version {version} is {f'in {stage}' if stage else 'not registered'}: "
                f"it cannot be {_said(move)}",
                expected=f"a version in {' or '.join(sorted(_FROM[move]))}",
                remedy=_remedy(stage),
            )

    def _registered(self, version: int) -> "Shelf":
        if version in self.stages:
            raise TransitionError(
                f"version {version} is registered already",
                expected="a new version number",
                remedy="register the bundle again: the registry numbers it",
            )
        return self._with({version: Stage.DEVELOPMENT}, self.served)

    def _promoted(self, version: int) -> "Shelf":
        replaced = {} if self.production is None else {self.production: Stage.ARCHIVED}
        return self._with({**replaced, version: Stage.PRODUCTION}, (*self.served, version))

    def _rolled_back(self, version: int) -> "Shelf":
        if self.production is None or self.predecessor is None:
            raise TransitionError(
                f"{f'version {self.production}' if self.production else 'nothing'} is in production, "
                "and no version served before it",
                expected="a version that a promotion has replaced",
                remedy="promote a version from Staging instead",
            )
        if version != self.predecessor:
            raise TransitionError(
                f"production cannot roll back to version {version}",
                expected=f"version {self.predecessor}, which served before version {self.production}",
                remedy="register and promote any other version",
            )
        changed = {self.production: Stage.ARCHIVED, version: Stage.PRODUCTION}
        return self._with(changed, self.served[:-1])


def replay(moves: Iterable[tuple[Move, int]]) -> Shelf:
    """The shelf that a list of decisions adds up to, oldest first.

    Raises:
        TransitionError: One of them is not allowed where it stands.
    """
    return reduce(lambda shelf, decided: shelf.after(*decided), moves, Shelf())


def _said(move: Move) -> str:
    return move.value.removeprefix("model.").replace("_", " ")


def _remedy(stage: Stage | None) -> str:
    return {
        None: "register its bundle first",
        Stage.DEVELOPMENT: "it did not pass its gates; train again and register the better one",
        Stage.STAGING: "it is there already",
        Stage.PRODUCTION: "it serves already; `modelway models rollback` returns to the version before it",
        Stage.ARCHIVED: "`modelway models rollback` returns to a replaced version; a retired one is "
        "registered anew",
    }[stage]
