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
def decide_gates(  # noqa: PLR0913, PLR0917 - one verdict of each gate before
    use_case: str,
    evaluation: Evaluation,
    contract: Verdict,
    parity: Verdict,
    honesty: Verdict,
    forgetting: Verdict | None = None,
) -> Annotated[Verdict, "gate_verdict"]:
    """All together, forgetting too where old rows were replayed. It never raises because a model is bad."""
    verdict = contract & parity & honesty & gates(evaluation, load_use_case(use_case).gates)
    verdict = verdict if forgetting is None else verdict & forgetting
    logger.info("%s", verdict.summary())
    return verdict
