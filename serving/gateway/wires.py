"""The two protocols that one gateway port carries, as Envoy has to know them. Pure.

Each has clusters and arms of its own: a replica answers HTTP at one port and gRPC at another. Shares, pins,
keys, mirror and repeats are the same for both.
"""

from typing import Any

from pydantic import Field

from modelway.contract import Frozen

TYPES = "type.googleapis.com/envoy"
Json = dict[str, Any]
_RETRIES = 2
"""One request ends three processes at most, should it be one that ends them."""
_RESELECTIONS = 32
"""Draws of a replica that was not tried yet. A dead one has the fewest requests and is drawn most."""
_UNSEEN = "connect-failure,refused-stream,reset-before-request"
_LOST = f"{_UNSEEN},reset"
_FOREVER = {"timeout": "0s", "idle_timeout": "0s"}
_JOB = {"prefix": "/", "query_parameters": [{"name": "async", "present_match": True}]}
_CALL: Json = {"grpc": {}}
"""Told by its content type: whatever is called so is gRPC's, also a method that nobody has."""
_STREAMS = 100
"""Calls at one time on a connection to a predictor; more take another connection. The predictor takes 256 and
refuses what is beyond them, and Envoy would count each refusal against the revision. The rest is room for
calls that their clients gave up: the predictor counts them until it is done with them."""
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_HTTP2 = {
    "@type": f"type.googleapis.com/{_OPTIONS}",
    "explicit_http_config": {"http2_protocol_options": {"max_concurrent_streams": _STREAMS}},
}


class Kind(Frozen):
    """Requests that are treated alike."""

    match: Json
    retry_on: str
    limits: Json = Field(default_factory=dict)
    """In place of the usual time limit."""


class Wire(Frozen):
    """One protocol."""

    prefix: str
    """Before Envoy's names of its clusters and arms."""
    probe: Json
    """How a replica is asked whether it is ready."""
    upstream: Json
    """What its clusters have beside the usual."""
    kinds: tuple[Kind, ...]
    """The first that matches counts; the last matches whatever is this protocol's."""

    @property
    def pinned(self) -> tuple[Kind, ...]:
        """Kinds that a request for one revision is told apart by: those with limits of their own."""
        return (*(kind for kind in self.kinds[:-1] if kind.limits), self.kinds[-1])


HTTP = Wire(
    prefix="",
    probe={"http_health_check": {"path": "/v2/health/ready"}},
    upstream={},
    kinds=(
        Kind(match=_JOB, retry_on=_UNSEEN),
        Kind(match={"prefix": "/v2/models/"}, retry_on=_LOST),
        Kind(match={"prefix": "/v1/models/"}, retry_on=_LOST),
        Kind(match={"prefix": "/"}, retry_on=_UNSEEN),
    ),
)
"""Scoring may be repeated. Handing in or withdrawing a job and loading a model may not."""

GRPC = Wire(
    prefix="grpc_",
    probe={"grpc_health_check": {}},
    upstream={"typed_extension_protocol_options": {_OPTIONS: _HTTP2}},
    kinds=(
        Kind(match={"path": "/inference.GRPCInferenceService/ModelInfer", **_CALL}, retry_on=_LOST),
        Kind(match={"path": "/grpc.health.v1.Health/Watch", **_CALL}, retry_on=_UNSEEN, limits=_FOREVER),
        Kind(match={"prefix": "/", **_CALL}, retry_on=_UNSEEN),
    ),
)
"""The same for calls. A Watch lasts as long as its client likes."""


def retried(kind: Kind) -> Json:
    """Try again on the next arm where there is one, else on another replica."""
    extension = f"{TYPES}.extensions.retry"
    config = {
        "@type": f"{extension}.priority.previous_priorities.v3.PreviousPrioritiesConfig",
        "update_frequency": 1,
    }
    others = {"@type": f"{extension}.host.previous_hosts.v3.PreviousHostsPredicate"}
    return {
        "retry_on": kind.retry_on,
        "num_retries": _RETRIES,
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.01s"},
        "retry_priority": {"name": "envoy.retry_priorities.previous_priorities", "typed_config": config},
        "retry_host_predicate": [
            {"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": others}
        ],
        "host_selection_retry_max_attempts": _RESELECTIONS,
    }
