"""Gate: does the challenger still know what the champion knew?"""

from typing import Annotated

from zenml import step

from modelway.contract import Verdict
from modelway.training.artifacts import Trained
from modelway.training.forgetting import forgetting, measured, memory_rows
from modelway.usecase import load_use_case
from stacks.active import registry, snapshot_store, tracker


@step(enable_cache=False)  # the champion may be another one by now
def measure_forgetting(trained: Trained) -> Annotated[Verdict, "forgetting_report"]:
    """On the champion's own test rows, those left out that the challenger was shown again."""
    use_case = load_use_case(trained.use_case)
    champion = registry().bundle(trained.use_case, "champion")
    rows = memory_rows(use_case, champion.lineage, snapshot_store(), trained.replay)
    verdict = forgetting(use_case, trained, champion, rows)
    tracker().log(trained.run_id, metrics=measured(verdict))
    return verdict
