"""A use case as its author first writes it: with a misspelt key."""

import math
import sys
from importlib.metadata import EntryPoint

import pytest
from pydantic import ValidationError

from modelway import usecase
from modelway.errors import ConfigError
from modelway.training.policy import Preference, Validation, training_policy


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Install a module of one line under the name `odd`."""

    def write(line: str) -> None:
        (tmp_path / "odd_use_case.py").write_text(
            f"from modelway.training.policy import TrainingPolicy\n{line}\n", "utf-8"
        )
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "odd_use_case", raising=False)
        point = EntryPoint("odd", "odd_use_case:odd", usecase.ENTRY_POINT_GROUP)
        monkeypatch.setattr(usecase, "_points", lambda: {"odd": point})

    return write


def test_a_misspelt_key_is_named_with_the_use_case(written):
    written("odd = TrainingPolicy(calibrator=('platt',))")

    with pytest.raises(ConfigError, match=r"use case odd .* `calibrator`: extra inputs") as caught:
        usecase.load_use_case("odd")

    assert "odd_use_case" in str(caught.value.remedy)


@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_what_is_no_number_decides_nothing(odd):
    with pytest.raises(ValidationError, match="finite"):
        Preference(halving_worth={"operations": odd})
    with pytest.raises(ValidationError, match="finite"):
        Validation(folds=2, embargo_days=odd)


def test_a_policy_in_the_wrong_type_is_named():
    class Odd:
        name = "odd"
        training = {"max_forgetting": 0.1}  # noqa: RUF012 - as somebody may write it

    with pytest.raises(ConfigError, match="training of use case odd is a dict"):
        training_policy(Odd())
