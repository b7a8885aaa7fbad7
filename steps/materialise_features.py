"""Features go online, and what is read there is held against the point-in-time join."""

import logging
from datetime import datetime
from typing import Annotated

from zenml import step

from modelway.contract import Verdict
from modelway.data.snapshot import Snapshot
from modelway.usecase import load_use_case
from stacks.active import feature_store, snapshot_store

logger = logging.getLogger(__name__)


@step(enable_cache=False)  # writing to the online store is an act, not a value
def materialise_features(snapshot: Snapshot, as_of: datetime) -> Annotated[Verdict, "skew_report"]:
    """Publish what was known by `as_of`; the verdict says whether online equals offline.

    FAIL stops the flows. INCONCLUSIVE does not, or nobody could train for a day before one that is online.
    """
    use_case, history = load_use_case(snapshot.use_case), snapshot_store().scan(snapshot.id, as_of=as_of)
    feature_store().materialise(use_case, history, as_of=as_of)
    verdict = feature_store().skew(use_case, history, as_of=as_of)
    logger.info("online features: %s", verdict.summary())
    return verdict
