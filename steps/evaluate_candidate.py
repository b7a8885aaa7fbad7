"""What the held-out rows say about the candidate, beside the champion on the same rows."""

from typing import Annotated

from zenml import step

from modelway.evaluation.held_out import evaluate_on
from modelway.evaluation.record import Evaluation
from modelway.evaluation.twin import mlflow_metrics
from modelway.registry.openings import open_test
from modelway.training.artifacts import Trained
from modelway.training.splits import Splits
from modelway.usecase import load_use_case
from stacks.active import registry, tracker


@step(enable_cache=False)  # the champion may be another one by now
def evaluate_candidate(trained: Trained, splits: Splits) -> Annotated[Evaluation, "evaluation"]:
    """It only measures: `decide_gates` decides."""
    known, name = registry(), trained.use_case
    champion = known.champion(name)
    bundle = known.bundle(name, champion.version) if champion else None
    test, graph = splits.test.sha256, trained.onnx.sha256
    openings = open_test(known.audit, test, graph, model=name, who="flow:training")
    evaluation = evaluate_on(load_use_case(name), trained, splits, bundle, openings)
    tracker().log(trained.run_id, metrics=mlflow_metrics(evaluation))
    return evaluation
