"""Batch inference: score a folder of Parquet files with a registered model, exactly once."""

from flows.bridge import ml_flow
from modelway.contract import Frozen
from steps.score_batch import score_batch


class BatchConfig(Frozen):
    """What to score, with which model, and where the answers go."""

    model: str = "credit"
    reference: str = "champion"
    source: str
    """Folder of Parquet files with the key and one column per input."""
    target: str
    """Folder of the answers; what lies there already is not done again."""


@ml_flow(name="batch-inference")
def batch_inference_flow(config: BatchConfig) -> None:
    """Artifacts: batch_report. Start it again after a kill: it goes on where it stopped."""
    score_batch(config.model, config.reference, config.source, config.target)
