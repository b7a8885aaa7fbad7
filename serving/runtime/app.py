"""What each address answers."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from modelway import __version__
from modelway.bundle.bundle import Bundle
from modelway.bundle.signature import GRAPH_INPUT, GRAPH_OUTPUT
from serving.runtime.columns import EVENT_TIME, Columns
from serving.runtime.journal import journal
from serving.runtime.metrics import Metrics
from serving.runtime.model import Model
from serving.runtime.parsed import Parsed
from serving.runtime.prediction_log import Entry, PredictionLog
from serving.runtime.problems import InvalidOutputError, ModelFailureError, RequestError
from serving.runtime.reply import V2Reply, error_body, json_body, v1_body
from serving.runtime.transport import Headers, Respond
from serving.runtime.v1 import V1Decoder
from serving.runtime.v2 import V2Decoder

MAX_BODY_BYTES = 16 * 1024 * 1024
HEAVY_BODY_BYTES = 16 * 1024
"""A body above this is decoded and scored on a second thread, so that small requests and probes pass."""
SLOW_ROW_US = 1000.0
"""A graph that takes longer for one row is always run on the second thread."""
_PLAIN = "text/plain; version=0.0.4; charset=utf-8"

Answer = tuple[int, Headers, bytes]


class App:
    """One bundle behind V2 and V1 REST."""

    max_body_bytes = MAX_BODY_BYTES

    def __init__(self, bundle: Bundle, revision: str, model: Model, log: PredictionLog | None) -> None:
        """Join the parts; not ready until `ready` is set."""
        signature = bundle.signature
        self.ready = False
        self.heavy_body_bytes = HEAVY_BODY_BYTES
        self._bundle, self._revision, self._model, self._log = bundle, revision, model, log
        self.columns = Columns(signature)
        self.metrics = Metrics(
            model=signature.model_name, revision=revision, limit_ms=bundle.slo.latency_limit_ms
        )
        self._v2, self._v1 = V2Decoder(self.columns), V1Decoder(self.columns)
        self._reply = V2Reply(signature, revision)
        self._json_headers = _headers("application/json", revision)
        self._text_headers = _headers(_PLAIN, revision)
        self._started_s = time.time()
        self._second = ThreadPoolExecutor(1, thread_name_prefix="heavy")
        self._posts, self._gets = self._routes()

    def _routes(
        self,
    ) -> tuple[Mapping[str, Callable[[bytes], tuple[bytes, int]]], Mapping[str, Callable[[], Answer]]]:
        name, revision = self._bundle.signature.model_name, self._revision
        models = (f"/v2/models/{name}", f"/v2/models/{name}/versions/{revision}")
        posts = {f"{model}/infer": self._infer_v2 for model in models} | {
            f"/v1/models/{name}:predict": self._infer_v1
        }
        gets: dict[str, Callable[[], Answer]] = {
            "/v2": lambda: self._json({"name": "modelway", "version": __version__, "extensions": []}),
            "/v2/health/live": lambda: self._json({"live": True}),
            "/v2/health/ready": lambda: self._readiness({"ready": self.ready}),
            f"/v1/models/{name}": lambda: self._readiness({"name": name, "ready": self.ready}),
            "/metrics": self._metrics_text,
        }
        for model in models:
            gets[model] = lambda: self._json(self._metadata())
            gets[f"{model}/ready"] = lambda: self._readiness({"name": name, "ready": self.ready})
        return posts, gets

    def close(self) -> None:
        """Finish what the second thread has, then the log."""
        self._second.shutdown(wait=True)
        if self._log is not None:
            self._log.close()

    def totals(self) -> Mapping[str, int]:
        """What the last log line says."""
        log = self._log
        written, dropped = (0, 0) if log is None else (log.written_rows, log.dropped_rows)
        return {"log_rows_written": written, "log_rows_dropped": dropped}

    def warm_up(self) -> None:
        """Pay first-run costs before the first client does, and find out how heavy the graph is."""
        warm = self._model.warm_up()
        if warm.one_row_us > SLOW_ROW_US:
            self.heavy_body_bytes = 0

    def at_once(self, method: str, path: str) -> Answer | None:
        """The answer that needs no body; None for a prediction."""
        if path in self._posts:
            return None if method == "POST" else self._not_allowed("POST")
        get = self._gets.get(path)
        if get is None:
            return self.refuse(404, self._lost(path))
        return get() if method == "GET" else self._not_allowed("GET")

    def answer(self, path: str, body: bytes, respond: Respond, start_ns: int) -> None:
        """Score a request and respond: here when it is small, on the second thread when it is not."""
        if len(body) > self.heavy_body_bytes:
            self._second.submit(self._answer, path, body, respond, start_ns)
        else:
            self._answer(path, body, respond, start_ns)

    def _answer(self, path: str, body: bytes, respond: Respond, start_ns: int) -> None:
        try:
            reply, rows = self._posts[path](body)
        except RequestError as error:
            respond(*self.refuse(error.status, str(error)))
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer and the metrics a 500
            journal("prediction_failed", error=str(error), kind=type(error).__name__)
            self.metrics.scored(500, (time.perf_counter_ns() - start_ns) / 1e9, 0)
            if isinstance(error, InvalidOutputError):
                self.metrics.answered_invalidly()
            message = str(error) if isinstance(error, ModelFailureError) else "internal error"
            respond(500, self._json_headers, error_body(message))
            return
        self.metrics.scored(200, (time.perf_counter_ns() - start_ns) / 1e9, rows)
        respond(200, self._json_headers, reply)

    def refuse(self, status: int, message: str) -> Answer:
        """A client's error: counted, and said."""
        self.metrics.refused(status)
        return status, self._json_headers, error_body(message)

    def _infer_v2(self, body: bytes) -> tuple[bytes, int]:
        parsed = self._v2.decode(body)
        if type(parsed.values) is list and parsed.outputs is None:
            probability, packed = self._model.one(parsed.values)
            self._remember(parsed, probability, packed)
            return self._reply.one(probability, parsed.request_id), 1
        return self._reply.many(self._scored(parsed), parsed.request_id, parsed.outputs), parsed.rows

    def _infer_v1(self, body: bytes) -> tuple[bytes, int]:
        parsed = self._v1.decode(body)
        return v1_body(self._scored(parsed)), parsed.rows

    def _scored(self, parsed: Parsed) -> Any:
        if isinstance(parsed.values, list):
            probability, packed = self._model.one(parsed.values)
            self._remember(parsed, probability, packed)
            return np.array([probability])
        probabilities = self._model.many(parsed.values)
        self._remember(parsed, probabilities, parsed.values)
        return probabilities

    def _remember(self, parsed: Parsed, probabilities: Any, features: Any) -> None:
        if self._log is not None:
            self._log.append(Entry(parsed, time.time_ns() // 1000, probabilities, features))

    def _json(self, document: Mapping[str, Any], status: int = 200) -> Answer:
        return status, self._json_headers, json_body(document)

    def _readiness(self, document: Mapping[str, Any]) -> Answer:
        return self._json(document, 200 if self.ready else 503)

    def _not_allowed(self, allowed: str) -> Answer:
        status, headers, body = self.refuse(405, f"use {allowed}")
        return status, [*headers, ("allow", allowed)], body

    def _lost(self, path: str) -> str:
        name = self._bundle.signature.model_name
        if path.startswith(("/v1/models/", "/v2/models/")):
            return f"no such model, version or verb: this server has {name!r}, version {self._revision!r}"
        return f"no such path; predictions are at /v2/models/{name}/infer"

    def _metadata(self) -> Mapping[str, Any]:
        signature = self._bundle.signature
        return {
            "name": signature.model_name,
            "versions": [self._revision],
            "platform": "onnxruntime",
            "inputs": [
                _named_tensor(c.name, "BYTES" if c.kind == "category" else "FP32") for c in signature.inputs
            ],
            "outputs": [_named_tensor(GRAPH_OUTPUT, "FP32"), _named_tensor("decision", "INT64")],
            "parameters": {
                "matrix_input": {
                    "name": GRAPH_INPUT,
                    "datatype": "FP32",
                    "shape": [-1, len(signature.inputs)],
                },
                "log_only_inputs": [
                    _named_tensor(signature.key, "BYTES"),
                    _named_tensor(EVENT_TIME, "INT64"),
                ],
                "threshold": signature.threshold,
                "bundle": self._bundle.digest,
            },
        }

    def _metrics_text(self) -> Answer:
        metrics, log = self.metrics, self._log
        digest = f',bundle="{self._bundle.digest}"'
        extra = [
            *metrics.counters(
                "modelway_unknown_category_total",
                "Values outside a category's vocabulary, scored as missing.",
                "column",
                self.columns.unknown_counts,
            ),
            *metrics.counter(
                "modelway_prediction_log_dropped_total",
                "Rows the log could not keep.",
                0 if log is None else log.dropped_rows,
            ),
            *metrics.counter(
                "modelway_prediction_log_written_total",
                "Rows on the disk.",
                0 if log is None else log.written_rows,
            ),
            *metrics.gauge("modelway_bundle_info", "The bundle that answers.", 1, digest),
            *metrics.gauge("modelway_ready", "1 when requests are welcome.", int(self.ready)),
            *metrics.gauge(
                "modelway_start_time_seconds", "When the process began, Unix time.", self._started_s
            ),
        ]
        return 200, self._text_headers, metrics.text(extra)


def _headers(content_type: str, revision: str) -> Headers:
    return [("content-type", content_type), ("x-revision", revision)]


def _named_tensor(name: str, datatype: str) -> Mapping[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1]}
