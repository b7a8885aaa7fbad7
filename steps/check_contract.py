"""Gate: are the stored bytes those that were validated, and what did the contract say?"""

from typing import Annotated

from zenml import step

from modelway.contract import Verdict
from modelway.data.snapshot import Snapshot
from stacks.active import snapshot_store


@step(enable_cache=False)  # bytes rot between runs
def check_contract(snapshot: Snapshot) -> Annotated[Verdict, "contract_report"]:
    """The contract's verdict, and every file hashed again."""
    return snapshot.contract & snapshot_store().verify(snapshot.id)
