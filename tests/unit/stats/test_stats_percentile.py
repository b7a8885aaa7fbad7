"""The percentile is an observation, at any size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.stats.percentile import percentile, samples_for

FINITE = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("percent", "expected"),
    [
        pytest.param(50, 20.0, id="middle-is-an-observed-value-not-an-average"),
        pytest.param(75, 30.0, id="exactly-three-of-four-are-covered"),
        pytest.param(76, 40.0, id="a-little-more-needs-the-next"),
        pytest.param(95, 40.0, id="tail-of-a-small-sample-is-its-maximum"),
    ],
)
def test_percentile_by_hand(percent: float, expected: float) -> None:
    assert percentile(np.array([40.0, 10.0, 30.0, 20.0]), percent) == expected


def test_a_round_percent_of_a_round_sample_is_not_shifted_by_floating_point() -> None:
    assert percentile(np.arange(1.0, 1001.0), 99.9) == 999.0


@given(FINITE, st.floats(0.1, 100))
def test_percentile_agrees_with_numpys_inverted_cdf(values: list[float], percent: float) -> None:
    sample = np.array(values)
    found = percentile(sample, percent)

    assert found in sample
    assert np.mean(sample <= found) >= percent / 100 - 1e-9
    assert np.mean(sample < found) < percent / 100 + 1e-9


def test_percentile_agrees_with_numpy_on_a_large_sample() -> None:
    sample = np.random.default_rng(1).lognormal(size=9973)

    for percent in (1, 25, 50, 90, 99, 99.9):
        assert percentile(sample, percent) == np.quantile(sample, percent / 100, method="inverted_cdf")


def test_an_unanswered_request_counts_as_infinitely_late() -> None:
    assert percentile(np.array([1.0, 2.0, np.inf]), 99) == np.inf


@pytest.mark.parametrize("bad", [np.array([]), np.array([[1.0]]), np.array([1.0, np.nan])])
def test_percentile_refuses_what_has_no_percentile(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="non-empty vector"):
        percentile(bad, 50)


def test_percentile_refuses_zero_percent() -> None:
    with pytest.raises(ValueError, match="percent"):
        percentile(np.array([1.0]), 0)


@pytest.mark.parametrize(("percent", "samples"), [(99, 299), (95, 59), (50, 5), (99.9, 2995)])
def test_evidence_needed_for_a_percentile_is_the_rule_of_three(percent: float, samples: int) -> None:
    assert samples_for(percent) == samples
    assert (percent / 100) ** samples <= 0.05 < (percent / 100) ** (samples - 1)
