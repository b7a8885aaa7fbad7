import pytest

from modelway.cli.serve import refuse_another
from modelway.errors import ConfigError


def test_another_models_traffic_is_not_taken_by_mistake() -> None:
    with pytest.raises(ConfigError, match="the gateway serves churn") as refused:
        refuse_another({"churn", "credit"}, "credit")

    assert "--instead" in str(refused.value)


@pytest.mark.parametrize("served", [set(), {"credit"}])
def test_a_free_gateway_or_ones_own_is_served_at(served: set[str]) -> None:
    refuse_another(served, "credit")
