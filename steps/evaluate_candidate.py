"""What the held-out rows say about the candidate, beside the champion on the same rows."""

from typing import Annotated

from zenml import step

from modelway.evaluation.held_out import evaluate_on
from modelway.evaluation.record import Evaluation
from modelway.training.artifacts import Trained
from modelway.training.splits import Splits
from modelway.usecase import load_use_case
from stacks.active import registry


@step(enable_cache=False)  # the champion may be another one by now
def evaluate_candidate(trained: Trained, splits: Splits) -> Annotated[Evaluation, "evaluation"]:
    """It only measures: `decide_gates` decides."""
    champion = registry().champion(trained.use_case)
    bundle = registry().bundle(trained.use_case, champion.version) if champion else None
    return evaluate_on(load_use_case(trained.use_case), trained, splits.test.load(), bundle)
