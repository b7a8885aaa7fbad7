"""What refuses to go back, wherever the model serves."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelway.contract import Slo
from modelway.errors import TransitionError
from serving.gateway.files import Holder
from serving.kserve.client import Cluster
from serving.kserve.places import Places
from serving.kserve.spec import Service
from serving.rollout.driver import begin
from serving.rollout.kserve import KServeTarget
from serving.rollout.local import LocalTarget
from serving.rollout.plan import Plan
from serving.rollout.runner import Record, Records
from serving.rollout.target import Revision
from stacks.guards import alone, require_idle


def _revision(name: str) -> Revision:
    return Revision(id=name, bundle=Path(name), digest=name, verify_key=Path("key.pem"))


def _on_a_cluster(root: Path) -> KServeTarget:
    places = Places(root=root, storage="file:///store", bundles=root, verify_key=root / "key.pem")
    return KServeTarget(Cluster("default", kubeconfig=root / "none"), Service(name="paint"), places)


@pytest.fixture(params=[LocalTarget, _on_a_cluster], ids=["here", "cluster"])
def target(request, tmp_path):
    return request.param(tmp_path)


def test_a_rollout_that_is_not_over_keeps_its_traffic(target) -> None:
    slo = Slo(latency_limit_ms=25, latency_percentile=99, max_error_rate=0.01, rate_rps=100)
    arms = {"stable": _revision("paint-v3"), "canary": _revision("paint-v4")}
    plan = Plan(id="one", service="paint", slo=slo, **arms)
    Records(target.root).write(Record(plan=plan, state=begin(plan, datetime.now(UTC))))

    with pytest.raises(TransitionError, match="stands at deploying"):
        require_idle(target, "paint")
    require_idle(target, "varnish")


def test_nobody_goes_back_beside_another_who_moves_the_traffic(target) -> None:
    other = Holder(Records(target.root).driver_lock("paint"))
    assert other.take()
    try:
        with (
            pytest.raises(TransitionError, match="another process moves its traffic"),
            alone(target, "paint", "this test"),
        ):
            pass
    finally:
        other.release()
    with alone(target, "paint", "this test"):
        assert Records(target.root).is_driven("paint")
