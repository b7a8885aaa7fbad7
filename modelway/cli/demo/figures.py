"""The demo's figures in words. Each is read from an artifact of the run, none is known beforehand."""

from collections.abc import Sequence

from loadtests.outputs import LoadReport
from modelway.contract import Verdict
from modelway.data.snapshot import Snapshot
from modelway.evaluation.record import Evaluation
from modelway.monitoring.monitor import MonitoringReport
from modelway.registry.model_version import ModelVersion
from modelway.stats.bootstrap import Estimate
from modelway.training.artifacts import Trained
from serving.rollout.plan import Metric
from serving.rollout.state import RolloutState


def data(snapshot: Snapshot, skew: Verdict) -> str:
    """How many rows came in, how many did not, and whether online features are the offline ones."""
    return (
        f"{snapshot.rows:,} loans committed, {snapshot.quarantined:,} set aside with the reason; "
        f"online = point-in-time features: {skew.outcome.value}"
    )


def trained(version: ModelVersion, model: Trained) -> str:
    """Which kind won, out of how many trials, and what the gates said."""
    kinds = " and ".join(sorted({trial.kind for trial in model.trials}))
    return (
        f"{version.reference} ({model.kind}; {len(model.trials)} trials of {kinds}), "
        f"gates: {version.verdict.outcome.value}"
    )


def quality(evaluation: Evaluation) -> str:
    """Held-out metrics with their intervals, and the gain over the champion on the same rows."""
    text = f"ROC-AUC {_interval(evaluation.metric('roc_auc'))}, PR-AUC {_plain(evaluation.metric('pr_auc'))}"
    if evaluation.comparison is None:
        return text
    return f"{text}; {_interval(evaluation.comparison.difference['roc_auc'], sign='+')} over the champion"


def _interval(found: Estimate, sign: str = "") -> str:
    if found.value is None or found.low is None or found.high is None:
        return "not defined"
    return f"{found.value:{sign}.3f} [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"


def _plain(found: Estimate) -> str:
    return "not defined" if found.value is None else f"{found.value:.3f}"


def latency(report: LoadReport) -> str:
    """Percentiles as a client sees them, from when a request was due."""
    at, limit_ms = report.results.latency_ms.at, report.slo.latency_limit_ms
    return f"p50 {at['50']:.1f} ms, p99 {at['99']:.1f} ms (limit {limit_ms:g} ms)"


def monitoring(report: MonitoringReport) -> str:
    """What drifted, and what asks for a new model."""
    drifted = report.drift.drifted
    asked = ", ".join(report.decision.causes) or "nothing"
    share = f"{len(drifted)} of {len(report.drift.columns)} series drifted{_some(drifted)}"
    return f"{share}; a new model is asked for by: {asked}"


def _some(names: Sequence[str], shown: int = 3) -> str:
    more = ", …" if len(names) > shown else ""
    return f" ({', '.join(names[:shown])}{more})" if names else ""


def matured(report: MonitoringReport) -> str:
    """What the labels that have matured say about the model's promises."""
    judged = report.performance.judged
    if judged is None or judged.expected is None:
        return "too few labels have matured"
    return (
        f"matured labels: observed {_plain(judged.metrics.observed_rate)}, "
        f"promised {judged.expected.positive_rate:.3f}, ROC-AUC {_interval(judged.metrics.roc_auc)}"
    )


def path(state: RolloutState) -> str:
    """The steps of a rollout, in order."""
    return " → ".join(dict.fromkeys(moment.step for moment in state.timeline if moment.step))


def evidence(state: RolloutState) -> str:
    """What the last step rested on: the canary's own requests."""
    errors, slow = (state.evidence.tallies[metric].canary for metric in (Metric.ERRORS, Metric.SLOW))
    return f"at 100 %: {errors.trials:,} requests, {errors.events} errors, {slow.events} over the SLO"


def restored(state: RolloutState) -> str:
    """How long the users had to bear it."""
    seconds = state.seconds_to_restore
    return (
        "no bad answer was seen" if seconds is None else f"{seconds:.1f} s from first bad answer to restored"
    )
