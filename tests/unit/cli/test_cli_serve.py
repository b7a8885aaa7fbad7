from itertools import combinations

import pytest
from typer.testing import CliRunner

from modelway.cli.serve import app, refuse_another, refuse_two
from modelway.errors import ConfigError, InputError


def test_another_models_traffic_is_not_taken_by_mistake() -> None:
    with pytest.raises(ConfigError, match="the gateway serves churn") as refused:
        refuse_another({"churn", "credit"}, "credit")

    assert "--instead" in str(refused.value)


@pytest.mark.parametrize("served", [set(), {"credit"}])
def test_a_free_gateway_or_ones_own_is_served_at(served: set[str]) -> None:
    refuse_another(served, "credit")


@pytest.mark.parametrize("given", list(combinations(("--dry-run", "--stop", "--restart", "--status"), 2)))
def test_two_things_at_once_are_refused_before_either_is_done(given: tuple[str, str]) -> None:
    done = CliRunner().invoke(app, ["credit", *given])

    assert isinstance(done.exception, InputError)
    assert " and ".join(given) in str(done.exception)


@pytest.mark.parametrize("given", [{}, {"--stop": True}, {"--stop": True, "--status": False}])
def test_one_thing_or_none_is_fine(given: dict[str, bool]) -> None:
    refuse_two(given)
