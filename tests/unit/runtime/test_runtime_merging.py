"""Pages of several processes become one."""

from hypothesis import given
from hypothesis import strategies as st

from serving.runtime.exposition import Family, Histogram
from serving.runtime.merging import lasting, merged
from serving.runtime.metrics import Metrics


def test_counters_are_added_exactly_and_gauges_as_they_mean_it() -> None:
    def page(count: int, ready: int, queued: int) -> list[Family]:
        return [
            Family(
                "modelway_requests_total", "counter", "h", [f'modelway_requests_total{{a="b c"}} {count}']
            ),
            Family("modelway_ready", "gauge", "h", [f'modelway_ready{{a="1"}} {ready}']),
            Family("modelway_bundle_info", "gauge", "h", ['modelway_bundle_info{bundle="x"} 1']),
            Family("modelway_queue_requests", "gauge", "h", [f'modelway_queue_requests{{a="1"}} {queued}']),
        ]

    samples = [family.samples for family in merged([page(2**60 + 1, 1, 3), page(1, 0, 4)])]

    assert samples == [
        [f'modelway_requests_total{{a="b c"}} {2**60 + 2}'],
        ['modelway_ready{a="1"} 0'],
        ['modelway_bundle_info{bundle="x"} 1'],
        ['modelway_queue_requests{a="1"} 7'],
    ]


def test_a_label_that_only_one_of_them_has_is_kept() -> None:
    def page(status: int) -> list[Family]:
        return [Family("n", "counter", "h", [f'n{{status="{status}"}} 1', 'n{status="200"} 5'])]

    assert merged([page(400), page(500)])[0].samples == [
        'n{status="400"} 1',
        'n{status="200"} 10',
        'n{status="500"} 1',
    ]


def test_what_an_ended_process_leaves_is_what_it_counted() -> None:
    families = [
        Family("a", "counter", "", []),
        Family("b", "gauge", "", []),
        Family("c", "histogram", "", []),
    ]

    assert [family.name for family in lasting(families)] == ["a", "c"]


@given(st.lists(st.lists(st.integers(0, 10**7), max_size=30), min_size=1, max_size=4))
def test_the_page_of_all_is_the_page_of_one_that_saw_everything(shares: list[list[int]]) -> None:
    def page(values: list[int]) -> list[Family]:
        metrics = Metrics(model="m", revision="r", limit_ms=20)
        for value in values:
            metrics.meter("v2").scored(200, value * 1000, 2)
        metrics.meter("v2")
        return metrics.families()

    whole = {f.name: f.samples for f in page([value for share in shares for value in share])}
    joined = {f.name: f.samples for f in merged(page(share) for share in shares)}
    assert joined.keys() == whole.keys()
    for name, samples in whole.items():
        for one, other in zip(joined[name], samples, strict=True):
            assert one.rpartition(" ")[0] == other.rpartition(" ")[0]
            assert abs(float(one.rpartition(" ")[2]) - float(other.rpartition(" ")[2])) < 1e-6


def test_a_histogram_by_hand() -> None:
    histogram = Histogram([10, 20])
    for value in (5, 10, 11, 21):
        histogram.add(value)

    assert histogram.samples("h", 'a="b"', 0.5) == [
        'h_bucket{a="b",le="5"} 2',
        'h_bucket{a="b",le="10"} 3',
        'h_bucket{a="b",le="+Inf"} 4',
        'h_sum{a="b"} 23.500000000',
        'h_count{a="b"} 4',
    ]
