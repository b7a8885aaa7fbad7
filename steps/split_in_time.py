"""Train on the past, calibrate on what came after, test on the newest."""

from typing import Annotated

from zenml import step

from modelway.data.frames import FrameRef
from modelway.training.splits import Splits, split_by_time
from stacks.active import frames_folder


@step
def split_in_time(training_set: FrameRef) -> Annotated[Splits, "splits"]:
    """Three parts that no moment is torn between."""
    return split_by_time(training_set.load(), frames_folder())
