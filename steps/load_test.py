"""Gate: does the service keep its SLO at the load it promises?"""

from typing import Annotated

from zenml import step

from loadtests.outputs import LoadReport
from loadtests.run import run_load
from loadtests.served import server_pids
from loadtests.traffic import Traffic
from stacks.active import registry, reports_folder, serving_target


@step(enable_cache=False)  # yesterday's latency says nothing about today's
def load_test(
    model: str, traffic: Traffic, duration_s: float, profile: str
) -> Annotated[LoadReport, "load_report"]:
    """Locust, open loop, real rows, at the SLO's rate. It never raises because a service is slow."""
    slo, out = registry().bundle(model, "champion").slo, reports_folder() / "loadtest" / model
    target = serving_target()
    where = {"url": target.gateway_url, "model": model, "rows": traffic.rows.uri, "out": out}
    rows = {"key": traffic.key, "event_time": "event_time", "watch_pids": server_pids(target)}
    how = {"rate_rps": traffic.rate_rps, "duration_s": duration_s, "profile": profile}
    return run_load(**where, **rows, **how, slo=slo)
