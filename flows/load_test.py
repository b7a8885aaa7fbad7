"""Load test: the newest applications, replayed against the gateway at the rate its SLO promises."""

from pydantic import AwareDatetime, Field

from flows.bridge import ml_flow
from loadtests.outputs import LoadReport
from modelway.contract import Frozen
from modelway.errors import SloBreachError
from steps.gather_traffic import gather_traffic
from steps.ingest_data import ingest_data
from steps.load_test import load_test


class LoadTestConfig(Frozen):
    """What to offer, and for how long."""

    use_case: str = "credit"
    source: str | None = None
    as_of: AwareDatetime
    """The newest rows known then are replayed."""
    duration_s: float = Field(default=15.0, gt=0)
    rate_rps: float = Field(default=100.0, gt=0)
    profile: str = "steady"
    """Of `loadtests.profiles`: smoke, steady, spike, soak, stress."""


@ml_flow(name="load-test")
def load_test_flow(config: LoadTestConfig) -> None:
    """Artifacts: snapshot → traffic → load_report.

    Raises:
        SloBreachError: The service broke its SLO, or too little was seen to say that it kept it.
    """
    snapshot = ingest_data(config.use_case, config.source)
    traffic = gather_traffic(snapshot, config.as_of, config.rate_rps)
    _require_kept(load_test(config.use_case, traffic, config.duration_s, config.profile).load())


def _require_kept(report: LoadReport) -> None:
    if not report.verdict.passed:
        raise SloBreachError(
            f"{report.model} at {report.url}: {report.verdict.summary()}",
            expected=f"the SLO: {report.slo.model_dump()}",
            remedy=f"read {report.page}",
        )
