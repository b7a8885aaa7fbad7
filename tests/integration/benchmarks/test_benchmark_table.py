import math

import pytest
from measuring.load import Round
from measuring.stage import Settings, in_turns
from measuring.table import Bound, Row, exit_code, ratio


def rounds(*rates_rps: float) -> list[Round]:
    return [Round(1000, rate_rps, 1.0, 2.0) for rate_rps in rates_rps]


def test_the_ratio_is_the_median_of_rounds_next_to_each_other():
    ours = Row("ours", "V2 JSON", rounds(1000, 100, 900))
    peer = Row("peer", "V2 JSON", rounds(500, 50, 100))

    # 2, 2 and 9: the moment in which both were slow spoils nothing; medians alone would give 900 / 100
    assert ratio(ours, peer) == 2


@pytest.mark.parametrize(
    ("found", "at_least", "held"),
    [
        pytest.param(4.0, True, True, id="as-much-as-required-is-enough"),
        pytest.param(3.9, True, False, id="less-than-required"),
        pytest.param(3.9, False, True, id="below-a-limit"),
        pytest.param(4.1, False, False, id="above-a-limit"),
        pytest.param(math.nan, True, False, id="no-number-holds-nothing"),
        pytest.param(math.nan, False, False, id="no-number-is-below-no-limit"),
        pytest.param(None, True, None, id="not-measured-is-not-known"),
        pytest.param(0.0, True, False, id="zero-is-a-measurement"),
    ],
)
def test_a_promise(found, at_least, held):
    assert Bound("promise", found, 4.0, at_least).held is held


def test_one_broken_promise_fails_the_run():
    held, broken, unknown = (Bound("promise", found, 4.0, True) for found in (5.0, 3.0, None))

    assert exit_code([held, unknown]) == 0
    assert exit_code([held, broken, unknown]) == 1


class Noted:
    """A contender that notes when it was asked."""

    def __init__(self, name, asked):
        self.name, self.asked, self.row, self.server = name, asked, Row(name, "nothing"), self

    def load(self, _settings, seconds):
        self.asked.append((self.name, seconds))
        return rounds(100)[0], 1.0

    def memory_mb(self):
        return 1.0


def test_each_second_is_measured_in_turns_there_and_back(tmp_path):
    asked = []
    settings = Settings(tmp_path, 0.5, seconds=3, rounds=1, connections=1, cores=(None, None))
    contenders = [Noted(name, asked) for name in "ab"]
    in_turns(settings, contenders)  # type: ignore[arg-type]  # what it needs of a contender

    assert asked == [(name, 1) for name in "ababbaab"]
    assert [len(one.row.rounds) for one in contenders] == [3, 3]
