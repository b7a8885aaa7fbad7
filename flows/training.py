"""Training: from a source to a registered version that kept every limit."""

from datetime import UTC, datetime
from typing import Any

from pydantic import AwareDatetime, Field

from flows.bridge import ml_flow
from modelway.contract import Frozen
from modelway.errors import GateError
from modelway.monitoring.skew_gate import require_no_skew
from steps.assemble_training_set import assemble_training_set
from steps.check_contract import check_contract
from steps.check_parity import check_parity
from steps.decide_gates import decide_gates
from steps.evaluate_candidate import evaluate_candidate
from steps.ingest_data import ingest_data
from steps.materialise_features import materialise_features
from steps.measure_forgetting import measure_forgetting
from steps.pack_bundle import pack_bundle
from steps.probe_honesty import probe_honesty
from steps.register_model import register_model
from steps.split_in_time import split_in_time
from steps.train_candidates import train_candidates


class TrainingConfig(Frozen):
    """What to train: on which data, knowing what was known when."""

    use_case: str = "credit"
    source: str | None = None
    """Where the use case loads from; its default when left out."""
    as_of: AwareDatetime = datetime(2005, 1, 1, tzinfo=UTC)
    """The model may learn what was known then, and nothing later."""
    trials: int = Field(default=4, ge=1)
    """Hyper-parameter trials per kind of model."""
    seed: int = 7
    study: str | None = None
    """Share the trials under this name: with other processes, and with a start after a kill."""


@ml_flow(name="training")
def training_flow(config: TrainingConfig) -> None:
    """Artifacts: snapshot → skew_report → contract_report → … → registered_version.

    Raises:
        GateError: The online store does not hold the features of training: nothing is trained. Or a limit
            was not kept: the version is registered in Development, with the reasons.
    """
    snapshot = ingest_data(config.use_case, config.source)
    require_no_skew(materialise_features(snapshot, config.as_of).load(), where="the online store")
    train_and_register(snapshot, config)


def train_and_register(snapshot: Any, config: TrainingConfig, replay: Any = None) -> Any:
    """The steps from a snapshot to a registered version; `continuous_training` takes the same road.

    With a replay, only that share of the champion's rows is learnt from again, and a gate holds what the
    challenger has forgotten of the others.
    """
    contract = check_contract(snapshot)
    training_set = assemble_training_set(snapshot, config.as_of, replay)
    splits = split_in_time(training_set)
    trained = train_candidates(
        snapshot, splits, config.as_of, config.trials, config.seed, config.study, replay
    )
    parity = check_parity(trained, splits)
    honesty = probe_honesty(snapshot, splits, trained, config.as_of)
    evaluation = evaluate_candidate(trained, splits)
    forgetting = None if replay is None else measure_forgetting(trained)
    verdict = decide_gates(config.use_case, evaluation, contract, parity, honesty, forgetting)
    bundle = pack_bundle(trained, evaluation, verdict, training_set)
    version = register_model(trained, bundle, evaluation, verdict)
    require(verdict.load(), version.load().reference)
    return version


def require(verdict: Any, reference: str) -> None:
    """Turn a verdict that is no PASS into a failed run, after everything was recorded.

    Raises:
        GateError: The verdict is FAIL or INCONCLUSIVE.
    """
    if not verdict.passed:
        raise GateError(
            f"{reference} stays in Development. {verdict.summary()}",
            expected="every limit kept",
            remedy=f"`modelway evaluate show {reference}` shows every limit and what was found",
        )
