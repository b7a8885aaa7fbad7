from hypothesis import given, settings
from hypothesis import strategies as st

from serving.rollout.counters import Ledger, Reading, add, gateway_view, observed, parse
from serving.runtime.exposition import exposition
from serving.runtime.metrics import Metrics

PAGE = """\
# HELP modelway_requests_total Inference requests by HTTP status.
# TYPE modelway_requests_total counter
modelway_requests_total{model="credit",revision="v1",status="200"} 90
modelway_requests_total{model="credit",revision="v1",status="400"} 3
modelway_requests_total{model="credit",revision="v1",status="422"} 4
modelway_requests_total{model="credit",revision="v1",status="500"} 1
modelway_requests_total{model="credit",revision="v1",status="503"} 2
# TYPE modelway_latency_seconds histogram
modelway_latency_seconds_bucket{model="credit",revision="v1",le="+Inf"} 93
modelway_latency_seconds_count{model="credit",revision="v1"} 93
# TYPE modelway_slo_exceeded_total counter
"""


def reading(source: str, counters: dict[str, int] | None, revision: str = "v1") -> Reading:
    return Reading(revision=revision, source=source, counters=counters)


def test_a_page_by_hand() -> None:
    assert parse(PAGE) == {
        "served": 90,
        "rejected": 7,
        "failed": 3,
        "failed_grpc": 0,
        "timed": 93,
        "slow": 0,
    }


def test_what_a_page_does_not_declare_is_not_known() -> None:
    assert parse("# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 1.5\n") == {}


def test_the_runtimes_own_page_is_understood_before_and_after_its_first_request() -> None:
    metrics = Metrics(model="credit", revision="v1", limit_ms=25.0)
    empty = parse(exposition(metrics.families()).decode())
    meter = metrics.meter("v2")
    meter.scored(200, 1_000_000, 1)
    meter.scored(500, 200_000_000, 1)
    meter.refused(400)

    assert set(empty.values()) == {0}
    assert {"served", "failed", "rejected", "timed", "slow"} <= set(empty)
    found = parse(exposition(metrics.families()).decode())
    assert {key: found[key] for key in ("served", "failed", "rejected", "timed", "slow")} == {
        "served": 1,
        "failed": 1,
        "rejected": 1,
        "timed": 2,
        "slow": 1,
    }


def test_the_window_leaves_out_what_came_before_it() -> None:
    ledger = add(None, (reading("a", {"served": 1000}),))
    ledger = add(ledger, (reading("a", {"served": 1010}),))

    assert ledger.totals == {"v1": {"served": 10}}


def test_a_replica_that_was_restarted_counts_in_full() -> None:
    ledger = add(None, (reading("a", {"served": 50}),))
    ledger = add(ledger, (reading("a", {"served": 60}),))
    ledger = add(ledger, (reading("b", {"served": 7}),))  # a new process
    ledger = add(ledger, (reading("b", {"served": 3}),))  # the same name, counters begun anew

    assert ledger.totals == {"v1": {"served": 20}}


def test_a_replica_that_was_dark_when_the_window_opened_counts_from_its_first_answer() -> None:
    ledger = add(None, (reading("a", None),))
    ledger = add(ledger, (reading("a", {"served": 500}),))
    ledger = add(ledger, (reading("a", None),))
    ledger = add(ledger, (reading("a", {"served": 520}),))

    assert ledger.totals == {"v1": {"served": 20}}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50), st.booleans()), max_size=30))
@settings(deadline=None)
def test_sums_over_sources_equal_what_each_added(looks: list[tuple[str, int, bool]]) -> None:
    values = dict.fromkeys("abc", 100)
    ledger = add(None, tuple(reading(name, {"served": 100}) for name in "abc"))
    for name, more, dark in looks:
        values[name] += more
        ledger = add(ledger, (reading(name, None if dark else {"served": values[name]}),))
    ledger = add(ledger, tuple(reading(name, {"served": values[name]}) for name in "abc"))

    assert ledger.totals["v1"]["served"] == sum(values.values()) - 300


def test_requests_that_no_replica_finished_are_the_revisions_errors() -> None:
    # Envoy saw 9 failures, of which the replicas know 4; two more were handed to another arm.
    sums = {"served": 86, "failed": 4, "rejected": 0, "timed": 90, "slow": 1}
    ledger = Ledger(totals={"v1": {**sums, "gateway_failed": 9, "gateway_retried": 2}})

    seen = observed(ledger, "v1", replicas_known=True, gateway_known=True)

    assert (seen.requests, seen.server_errors) == (86 + 4 + 7, 4 + 7)
    assert (seen.answered, seen.slo_exceeded, seen.invalid_outputs) == (90, 1, None)


def test_what_cannot_be_read_is_not_known() -> None:
    sums = {"served": 86, "failed": 4, "timed": 90, "slow": 1, "gateway_failed": 4, "gateway_retried": 0}
    ledger = Ledger(totals={"v1": sums})

    dark = observed(ledger, "v1", replicas_known=False, gateway_known=True)
    blind = observed(ledger, "v1", replicas_known=True, gateway_known=False)
    assert (dark.answered, dark.slo_exceeded, dark.requests) == (None, None, 90)
    assert (blind.requests, blind.server_errors, blind.answered) == (None, None, 90)


def test_a_silent_page_is_not_an_errorless_one() -> None:
    ledger = add(None, (reading("a", {}), reading("envoy", {"gateway_failed": 0, "gateway_retried": 0})))

    seen = observed(ledger, "v1", replicas_known=True, gateway_known=True)

    assert seen.requests is None
    assert seen.answered is None


def test_the_gateways_view_sums_direct_and_shared_traffic() -> None:
    stats = {
        "cluster.rev_v1_2.upstream_rq_5xx": 2,
        "cluster.arm_v1_2.upstream_rq_5xx": 3,
        "cluster.arm_v1_2.upstream_rq_retry": 4,
        "cluster.arm_v1.upstream_rq_5xx": 100,
    }

    assert gateway_view(stats, "v1.2") == {"gateway_failed": 5, "gateway_lost": 0, "gateway_retried": 4}


def test_both_protocols_count_on_the_runtimes_page_and_at_the_gateway() -> None:
    metrics = Metrics(model="credit", revision="v1", limit_ms=25.0)
    for protocol, statuses in (("v2", (200, 500)), ("grpc", (200, 200, 500, 504))):
        for status in statuses:
            metrics.meter(protocol).scored(status, 200_000_000, 1)
    stats = {
        "cluster.arm_v1.upstream_rq_5xx": 1,
        "cluster.grpc_arm_v1.upstream_rq_5xx": 2,
        "cluster.grpc_rev_v1.upstream_rq_5xx": 3,
        "cluster.grpc_arm_v1.upstream_rq_retry": 4,
    }

    found = parse(exposition(metrics.families()).decode())
    assert [found[key] for key in ("served", "failed", "failed_grpc", "timed", "slow")] == [3, 3, 2, 6, 6]
    assert gateway_view(stats, "v1") == {"gateway_failed": 1, "gateway_lost": 5, "gateway_retried": 4}


def test_a_failed_call_hides_no_request_that_was_lost_nor_a_failed_request_a_lost_call() -> None:
    # Over HTTP 3 failed in the runtime, and Envoy saw those and 2 more. Over gRPC 4 failed, and Envoy lost 5.
    sums = {"served": 90, "failed": 7, "failed_grpc": 4, "gateway_failed": 5, "gateway_lost": 5}

    seen = observed(Ledger(totals={"v1": sums}), "v1", replicas_known=True, gateway_known=True)

    assert (seen.requests, seen.server_errors) == (90 + 7 + 2 + 5, 7 + 2 + 5)


def test_softened_calls_never_make_more_errors_than_the_gateway_saw() -> None:
    # 6 calls failed, all softened; over HTTP nothing did, and Envoy saw one failure: a request that was lost.
    sums = {"served": 90, "failed": 6, "failed_grpc": 6, "softened": 6, "gateway_failed": 1}

    seen = observed(Ledger(totals={"v1": sums}), "v1", replicas_known=True, gateway_known=True)

    assert (seen.requests, seen.server_errors) == (97, 7)
