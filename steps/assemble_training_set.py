"""What a model of day `as_of` may learn from: matured labels, features as each row knew them."""

from datetime import datetime
from typing import Annotated

from zenml import step

from modelway.bundle.lineage import Replay
from modelway.data.frames import FrameRef, write_frame
from modelway.data.snapshot import Snapshot
from modelway.training.replay import training_rows
from modelway.usecase import load_use_case
from stacks.active import frames_folder, snapshot_store


@step
def assemble_training_set(
    snapshot: Snapshot, as_of: datetime, replay: Replay | None = None
) -> Annotated[FrameRef, "training_set"]:
    """Join labels and features on both clocks and store the table by its content."""
    history = snapshot_store().scan(snapshot.id, as_of=as_of)
    frame = training_rows(load_use_case(snapshot.use_case), history, as_of=as_of, replay=replay)
    return write_frame(frame, frames_folder())
