"""The drill, every fault: real gateway, real runtime, Locust's requests, a graph broken on purpose."""

from collections.abc import Callable
from pathlib import Path

import pytest

from serving.rollout.local import LocalTarget
from serving.rollout.state import Phase
from serving.rollout.target import Revision
from stacks.drill import drill
from stacks.faults import Fault

RunsAs = Callable[[str, int], Revision]


@pytest.mark.parametrize(
    ("fault", "sequence", "said"),
    [
        (Fault.SLOW, ("step 10 %",), "slower than the SLO"),
        (Fault.ERRORS, ("step 10 %",), "errors"),
        (Fault.INVALID, ("step 10 %",), "no probability"),
        (Fault.CRASH, (), "crash loop"),
    ],
)
def test_a_bad_twin_is_got_rid_of_and_leaves_nothing(  # noqa: PLR0913, PLR0917 - a table of faults
    target: LocalTarget,
    runs_as: RunsAs,
    tmp_path: Path,
    fault: Fault,
    sequence: tuple[str, ...],
    said: str,
) -> None:
    stable = runs_as("good", 1)
    target.serve(stable)
    before = {path.name for path in target.root.iterdir()}

    found = drill(target, fault, keys=tmp_path / "keys", rate_rps=60)

    assert found.phase is Phase.ROLLED_BACK
    ending = ("rolling_back", "rolling_back", "rolled_back")
    assert found.sequence == ("deploying", *sequence, *ending)
    assert said in found.cause
    assert (found.seconds_to_restore is not None) is (fault is not Fault.CRASH)
    assert target.live() == stable
    routing = target.routing()
    assert routing is not None
    assert routing.weights == {stable.id: 100}
    assert {path.name for path in target.root.iterdir()} - before <= {"rollouts"}
    left = {path.name for path in (target.root / "rollouts").rglob("*") if path.is_file()}
    assert left == {"paint.lock"}  # nobody holds it
