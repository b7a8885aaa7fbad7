"""Raw rows become an immutable snapshot, held against the use case's contract."""

from typing import Annotated

from zenml import step

from modelway.data.increments import ingest_onto
from modelway.data.ingest import ingest
from modelway.data.snapshot import Snapshot
from modelway.usecase import load_use_case
from stacks.active import snapshot_store


@step(enable_cache=False)  # the file behind the same name may have changed
def ingest_data(
    use_case: str, source: str | None = None, onto: str | None = None
) -> Annotated[Snapshot, "snapshot"]:
    """Load, clean, validate, commit. The same content gives the same snapshot id.

    Args:
        use_case: Its name.
        source: Where to read; None is its default.
        onto: Id of the snapshot that the rows come onto, or `latest`; None commits the source as a whole.
    """
    chosen, store = load_use_case(use_case), snapshot_store()
    return ingest_onto(chosen, source, store, onto=onto) if onto else ingest(chosen, source, store)
