"""A folder of rows becomes a folder of probabilities, exactly once."""

from pathlib import Path
from typing import Annotated

from zenml import step

from modelway.batch.score import BatchReport, score_folder
from stacks.active import registry


@step(enable_cache=False)  # what is done is known by content, not by arguments
def score_batch(
    model: str, reference: str, source: str, target: str
) -> Annotated[BatchReport, "batch_report"]:
    """Score with one version of a model, its bundle verified first."""
    return score_folder(registry().bundle(model, reference), Path(source), Path(target))
