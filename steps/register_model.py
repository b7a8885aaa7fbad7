"""The bundle becomes a version: Staging when it kept every limit, else Development with the reasons."""

from typing import Annotated

from zenml import step

from modelway.bundle.bundle import Bundle
from modelway.bundle.signing import VERIFY_KEY_FILE
from modelway.contract import Verdict
from modelway.evaluation.record import Evaluation
from modelway.home import Home
from modelway.people import account
from modelway.registry.model_version import ModelVersion
from modelway.training.artifacts import Trained
from stacks.active import bundles_folder, registry
from stacks.reports import show_evaluation


@step(enable_cache=False)  # registering is an act, not a value
def register_model(
    trained: Trained, digest: str, evaluation: Evaluation, verdict: Verdict
) -> Annotated[ModelVersion, "registered_version"]:
    """Enter it with its evaluation, its verdict and the MLflow run that trained it."""
    bundle = Bundle.open(bundles_folder() / digest, verify_key=Home.current().keys / VERIFY_KEY_FILE)
    version = registry().register(
        bundle,
        evaluation=evaluation,
        verdict=verdict,
        run_id=trained.run_id,
        who="flow:training",
        trained_by=account(),
    )
    show_evaluation(version)
    return version
