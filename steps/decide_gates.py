"""Gate: is what was measured good enough?"""

import logging
from typing import Annotated

from zenml import step

from modelway.contract import Verdict
from modelway.evaluation.gates import gates
from modelway.evaluation.record import Evaluation
from modelway.usecase import load_use_case

logger = logging.getLogger(__name__)


@step
def decide_gates(
    use_case: str, evaluation: Evaluation, contract: Verdict, parity: Verdict, honesty: Verdict
) -> Annotated[Verdict, "gate_verdict"]:
    """Contract, parity, honesty and quality together. It never raises because a model is bad."""
    verdict = contract & parity & honesty & gates(evaluation, load_use_case(use_case).gates)
    logger.info("%s", verdict.summary())
    return verdict
