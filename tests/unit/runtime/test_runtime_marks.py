"""Marks become stages."""

from serving.runtime.marks import Marks, marks_of
from serving.runtime.tracing import Traces, stages


def test_stages_follow_each_other_and_leave_no_gap() -> None:
    marks = Marks("id", head_ns=10, body_ns=20, decoded_ns=25, scoring_ns=40, scored_ns=70)

    assert stages(marks, 75) == [
        ("receive", 10, 20),
        ("decode", 20, 25),
        ("queue", 25, 40),
        ("score", 40, 70),
        ("encode", 70, 75),
    ]


def test_who_let_nobody_wait_has_no_queue_and_who_refused_no_score() -> None:
    direct = Marks("id", head_ns=10, body_ns=20, decoded_ns=25, scored_ns=70)
    refused = Marks("id", head_ns=10, body_ns=20)

    assert [name for name, *_ in stages(direct, 75)] == ["receive", "decode", "score", "encode"]
    assert stages(direct, 75)[2] == ("score", 25, 70)
    assert [name for name, *_ in stages(refused, 30)] == ["receive"]


def test_who_is_not_looked_at_leaves_marks_that_nobody_reads() -> None:
    assert marks_of(print) == Marks()


def test_more_than_the_bound_go_without_a_trace_and_are_counted() -> None:
    class Head:
        method, path, headers = "POST", "/p", {}

    class Reply:
        head, marks, status, body_bytes, sent_bytes = Head, Marks("id", 1), 200, 0, 0
        ended_ns, unix_ns, headers = 2, 3, ()

    traces = Traces("http://127.0.0.1:9/v1/traces", {"service.name": "t"}, max_waiting=3)
    for _ in range(5):
        traces.ended(Reply)

    assert 'modelway_traces_total{result="dropped"} 2' in [
        sample for family in traces.families() for sample in family.samples
    ]
