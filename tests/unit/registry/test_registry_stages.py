"""The state machine of model versions, step by step and under a monkey."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from modelway.errors import TransitionError
from modelway.registry.stages import Move, Shelf, Stage, replay

R, S, P, B, X = Move.REGISTERED, Move.STAGED, Move.PROMOTED, Move.ROLLED_BACK, Move.RETIRED


def served(*versions: int) -> list[tuple[Move, int]]:
    """Moves that bring each of the versions into production, one after the other."""
    return [(move, v) for v in versions for move in (R, S, P)]


def test_a_version_goes_from_development_through_staging_into_production():
    moves = served(1)

    stages = [replay(moves[: i + 1]).stages[1] for i in range(3)]

    assert stages == [Stage.DEVELOPMENT, Stage.STAGING, Stage.PRODUCTION]


def test_a_promotion_archives_the_version_before():
    shelf = replay(served(1, 2))

    assert shelf.stages == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}
    assert (shelf.production, shelf.predecessor) == (2, 1)


def test_rolling_back_goes_down_the_stack_and_never_up_again():
    shelf = replay([*served(1, 2, 3), (B, 2)])

    assert (shelf.production, shelf.predecessor) == (2, 1)
    assert shelf.stages[3] is Stage.ARCHIVED
    assert shelf.after(B, 1).predecessor is None


def test_after_a_rollback_the_next_promotion_stands_on_what_served():
    shelf = replay([*served(1, 2), (B, 1), *served(3)])

    assert (shelf.production, shelf.predecessor) == (3, 1)


@pytest.mark.parametrize(
    ("moves", "refused", "message"),
    [
        pytest.param([], (P, 1), "not registered", id="promote-the-unknown"),
        pytest.param([(R, 1)], (P, 1), "in Development", id="promote-before-staging"),
        pytest.param([(R, 1), (S, 1)], (S, 1), "in Staging", id="stage-twice"),
        pytest.param([(R, 1)], (R, 1), "registered already", id="register-twice"),
        pytest.param(served(1), (P, 1), "in Production", id="promote-twice"),
        pytest.param(served(1), (X, 1), "in Production", id="retire-what-serves"),
        pytest.param(served(1, 2), (P, 1), "in Archived", id="promote-the-archived"),
        pytest.param([(R, 1), (X, 1)], (S, 1), "in Archived", id="stage-the-retired"),
        pytest.param(served(1), (B, 1), "no version served before", id="roll-back-the-first"),
        pytest.param([], (B, 1), "nothing is in production", id="roll-back-nothing"),
        pytest.param(served(1, 2, 3), (B, 1), "cannot roll back to version 1", id="skip-one"),
    ],
)
def test_every_other_move_is_refused_with_a_remedy(moves, refused, message):
    shelf = replay(moves)

    with pytest.raises(TransitionError, match=message) as error:
        shelf.after(*refused)
    assert error.value.expected
    assert error.value.remedy


def test_a_move_leaves_the_shelf_it_was_made_from_as_it_was():
    shelf = replay(served(1))
    shelf.after(R, 2)

    assert shelf == replay(served(1))


class Monkey(RuleBasedStateMachine):
    """Tries any move with any version, and keeps its own, simpler books."""

    def __init__(self) -> None:
        super().__init__()
        self.shelf = Shelf()
        self.books: dict[int, str] = {}
        self.stack: list[int] = []

    @rule(move=st.sampled_from(list(Move)), version=st.integers(1, 5))
    def tries(self, move, version):
        stage, before = self.books.get(version), self.shelf
        allowed = {
            R: stage is None,
            S: stage == "Development",
            P: stage == "Staging",
            X: stage in {"Development", "Staging"},
            B: len(self.stack) > 1 and version == self.stack[-2],
        }[move]
        try:
            self.shelf = before.after(move, version)
        except TransitionError:
            assert not allowed
            return
        assert allowed
        self._book(move, version)

    def _book(self, move, version):
        if move is P:
            if self.stack:
                self.books[self.stack[-1]] = "Archived"
            self.stack.append(version)
        if move is B:
            self.books[self.stack.pop()] = "Archived"
        self.books[version] = {R: "Development", S: "Staging", X: "Archived"}.get(move, "Production")

    @rule(version=st.integers(1, 5))
    def ships(self, version):
        """The whole way at once, or a random walk would hardly get anywhere."""
        if version not in self.books:
            for move in (R, S, P):
                self.tries(move, version)

    @precondition(lambda self: len(self.stack) > 1)
    @rule()
    def rolls_back(self):
        self.tries(B, self.stack[-2])

    @invariant()
    def the_books_agree(self):
        assert {v: stage.value for v, stage in self.shelf.stages.items()} == self.books
        assert list(self.shelf.served) == self.stack

    @invariant()
    def at_most_one_version_serves(self):
        serving = [v for v, stage in self.shelf.stages.items() if stage is Stage.PRODUCTION]
        assert serving == ([self.shelf.production] if self.stack else [])

    @invariant()
    def what_can_come_back_is_archived(self):
        assert all(self.shelf.stages[v] is Stage.ARCHIVED for v in self.shelf.served[:-1])


TestMonkey = Monkey.TestCase
TestMonkey.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
