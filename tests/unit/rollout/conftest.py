import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the target in memory is test equipment, not a package

from target_in_memory import FakeTarget, counted

from modelway.contract import Slo
from serving.rollout.plan import Plan
from serving.rollout.target import Observations, Revision

START = datetime(2026, 3, 1, tzinfo=UTC)
SLO = Slo(latency_limit_ms=25, latency_percentile=99, max_error_rate=0.01, rate_rps=100)


def revision(name: str) -> Revision:
    return Revision(id=name, bundle=Path(name), digest=name, verify_key=Path("key.pem"))


@pytest.fixture
def make_plan() -> Callable[..., Plan]:
    def make(**changes: object) -> Plan:
        fields: dict[str, object] = {
            "id": "v2.1",
            "service": "credit",
            "stable": revision("v1"),
            "canary": revision("v2"),
            "slo": SLO,
            "look_every_s": 0.001,
        }
        return Plan.model_validate(fields | changes)

    return make


@pytest.fixture
def fake_target() -> Callable[..., FakeTarget]:
    return FakeTarget


@pytest.fixture
def seen() -> Callable[..., Observations]:
    return counted
