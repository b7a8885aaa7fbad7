"""Gate: was anything of the future, or of the test rows, known when the model was made?"""

from datetime import datetime
from typing import Annotated

from zenml import step

from modelway.contract import Verdict
from modelway.data.snapshot import Snapshot
from modelway.probes.honesty import honesty
from modelway.training.artifacts import Trained
from modelway.training.splits import Splits
from modelway.usecase import load_use_case
from stacks.active import snapshot_store


@step
def probe_honesty(
    snapshot: Snapshot, splits: Splits, trained: Trained, as_of: datetime
) -> Annotated[Verdict, "honesty_report"]:
    """Every probe on the rows that the model was made from."""
    history = snapshot_store().scan(snapshot.id, as_of=as_of)
    return honesty(load_use_case(snapshot.use_case), history, splits, trained)
