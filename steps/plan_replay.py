"""Which of the champion's rows are learnt from again, and which are kept to see what was forgotten."""

from typing import Annotated

from zenml import step

from modelway.bundle.lineage import Replay
from modelway.training.replay import replay_of
from stacks.active import registry


@step(enable_cache=False)  # the champion may be another one by now
def plan_replay(use_case: str, share: float, seed: int) -> Annotated[Replay, "replay"]:
    """Its own rows, up to the day it was trained on."""
    return replay_of(registry().bundle(use_case, "champion").lineage, share=share, seed=seed)
