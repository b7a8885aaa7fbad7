"""What a rollout begins over, and what it goes on with."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from modelway.contract import Slo
from modelway.errors import TransitionError
from serving.rollout.driver import begin
from serving.rollout.plan import Plan
from serving.rollout.runner import Record, Records
from serving.rollout.start import plan_over_live
from serving.rollout.state import Phase
from serving.rollout.target import Revision

SLO = Slo(latency_limit_ms=25, latency_percentile=99, max_error_rate=0.01, rate_rps=100)
BUNDLE = SimpleNamespace(signature=SimpleNamespace(model_name="paint"), slo=SLO)


class Host:
    def __init__(self, root: Path, live: str) -> None:
        self.root, self._live = root, live

    def live(self) -> Revision:
        return _revision(self._live)


def _revision(name: str) -> Revision:
    return Revision(id=name, bundle=Path(name), digest=name, verify_key=Path("key.pem"))


def _left(root: Path, phase: Phase) -> Plan:
    plan = Plan(
        id="one", service="paint", slo=SLO, stable=_revision("paint-v3"), canary=_revision("paint-v4")
    )
    state = begin(plan, datetime.now(UTC)).model_copy(update={"phase": phase})
    Records(root).write(Record(plan=plan, state=state))
    return plan


def test_a_promotion_that_no_book_has_yet_is_carried_on(tmp_path) -> None:
    plan = _left(tmp_path, Phase.PROMOTED)

    assert plan_over_live(Host(tmp_path, "paint-v4"), BUNDLE, _revision("paint-v4")) == plan


@pytest.mark.parametrize("phase", [Phase.ROLLED_BACK, Phase.ABORTED])
def test_what_is_live_without_having_won_is_refused(tmp_path, phase) -> None:
    _left(tmp_path, phase)

    with pytest.raises(TransitionError, match="paint-v4 has all traffic already"):
        plan_over_live(Host(tmp_path, "paint-v4"), BUNDLE, _revision("paint-v4"))


def test_a_promotion_that_was_undone_since_begins_anew(tmp_path) -> None:
    _left(tmp_path, Phase.PROMOTED)

    plan = plan_over_live(Host(tmp_path, "paint-v3"), BUNDLE, _revision("paint-v4"))

    assert (plan.stable.id, plan.canary.id) == ("paint-v3", "paint-v4")
    assert plan.id != "one"


def test_another_models_requests_are_not_shared_out(tmp_path) -> None:
    with pytest.raises(TransitionError, match="varnish-v1 has all traffic, no version of paint"):
        plan_over_live(Host(tmp_path, "varnish-v1"), BUNDLE, _revision("paint-v4"))
