"""The signed deployable: graph, signature, drift reference, SLO, model card, lineage."""

from typing import Annotated

from zenml import step

from modelway.bundle.signing import load_or_create_key
from modelway.contract import Verdict
from modelway.data.frames import FrameRef
from modelway.data.lock import committing
from modelway.evaluation.record import Evaluation
from modelway.home import Home
from modelway.registry.packing import Stores, pack
from modelway.training.artifacts import Trained
from modelway.usecase import load_use_case
from stacks.active import bundles_folder, snapshot_store


@step(enable_cache=False)  # the folder may have been cleaned
def pack_bundle(
    trained: Trained, evaluation: Evaluation, verdict: Verdict, training_set: FrameRef
) -> Annotated[str, "bundle"]:
    """Write and sign it; returns its digest, which is where it lies."""
    use_case, store = load_use_case(trained.use_case), snapshot_store()
    stores = Stores(bundles_folder(), load_or_create_key(Home.current().keys))
    with committing(store.folder):  # no collection takes the snapshot away before a bundle names it
        history = store.scan(trained.snapshot_id, as_of=trained.as_of)
        return pack(use_case, trained, evaluation, verdict, training_set, history, stores).digest
