"""Raw rows become an immutable snapshot, held against the use case's contract."""

from typing import Annotated

from zenml import step

from modelway.data.ingest import ingest
from modelway.data.snapshot import Snapshot
from modelway.usecase import load_use_case
from stacks.active import snapshot_store


@step(enable_cache=False)  # the file behind the same name may have changed
def ingest_data(use_case: str, source: str | None = None) -> Annotated[Snapshot, "snapshot"]:
    """Load, clean, validate, commit. The same content gives the same snapshot id."""
    return ingest(load_use_case(use_case), source, snapshot_store())
