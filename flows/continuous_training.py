"""Continuous training: look, decide, train a challenger, and bring it to traffic when it is better."""

from typing import Literal

from pydantic import Field

from flows.bridge import ml_flow
from flows.rollout import require_live
from flows.training import TrainingConfig, train_and_register
from modelway.monitoring.skew_gate import require_compared, require_no_skew
from stacks.release import WEIGHTS
from steps.compare_features import compare_features
from steps.draw_drift import draw_drift
from steps.gather_traffic import gather_traffic
from steps.ingest_data import ingest_data
from steps.materialise_features import materialise_features
from steps.note_cycle import note_cycle
from steps.plan_replay import plan_replay
from steps.roll_out import roll_out
from steps.watch_model import watch_model


class ContinuousTrainingConfig(TrainingConfig):
    """A training that happens only when something asks for it."""

    window_days: int = Field(default=30, gt=0)
    """Length of a monitoring window."""
    weights: tuple[int, ...] = WEIGHTS
    """Percent of traffic per step of the rollout, rising to 100."""
    replay_share: float | None = Field(default=None, gt=0, lt=1)
    """Learn again from this share of the champion's rows besides all newer ones, and hold what is forgotten
    of the others against its limit. None: the use case's window of history, as in `training`."""
    rehearsal_rate_rps: float = Field(default=0.0, ge=0)
    """Real rows offered during the canary; 0 leaves it to the users."""
    unseen_skew: Literal["hold", "go_on"] = "hold"
    """What is done where too few served features could be compared with training's: the challenger is
    trained and waits for a person, or it is rolled out all the same. Skew that was seen always stops."""


@ml_flow(name="continuous-training")
def continuous_training_flow(config: ContinuousTrainingConfig) -> None:
    """Artifacts: snapshot → monitoring_report → served_skew → … → registered_version → rollout_verdict.

    Raises:
        GateError: The challenger broke a limit, or served features differ from training's, or nobody could
            tell; the champion stays.
        RolloutError: Its canary was rolled back; the champion stays.
    """
    snapshot = ingest_data(config.use_case, config.source)
    report = watch_model(snapshot, config.as_of, config.window_days)
    if not report.load().decision.retrain:
        note_cycle(report, retrained=False)
        return
    served = compare_features(snapshot, config.as_of, config.window_days).load().verdict
    require_no_skew(served, where="the prediction log")
    draw_drift(report)
    require_no_skew(materialise_features(snapshot, config.as_of).load(), where="the online store")
    share = config.replay_share
    replay = plan_replay(config.use_case, share, config.seed) if share else None
    version = train_and_register(snapshot, config, replay)
    note_cycle(report, retrained=True)
    require_compared(served, version.load().reference, unseen=config.unseen_skew)
    rate_rps = config.rehearsal_rate_rps
    traffic = gather_traffic(snapshot, config.as_of, rate_rps) if rate_rps else None
    require_live(roll_out(version, config.weights, traffic).load())
