"""Gate: does the exported graph answer like the model it came from, on awkward rows too?"""

from typing import Annotated

from zenml import step

from modelway.contract import Verdict
from modelway.optimize.parity import parity_of
from modelway.training.artifacts import Trained
from modelway.training.splits import Splits
from modelway.usecase import load_use_case


@step
def check_parity(trained: Trained, splits: Splits) -> Annotated[Verdict, "parity_report"]:
    """Real rows, then the same with values missing, unseen and extreme."""
    limit = load_use_case(trained.use_case).gates.max_parity_error
    return parity_of(trained, splits.test.load(), limit=limit)
