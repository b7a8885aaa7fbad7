import http.client
import io
import json
import math
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import onnx.parser
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelway.bundle.bundle import Bundle, write_bundle
from modelway.bundle.lineage import Lineage
from modelway.bundle.signature import Input, Signature
from modelway.bundle.signing import VERIFY_KEY_FILE, load_or_create_key
from modelway.contract import Slo
from serving.rollout.local import LocalTarget
from serving.rollout.plan import Plan
from serving.rollout.start import revision_of
from serving.rollout.target import Revision

HEADER = '<ir_version: 8, opset_import: ["" : 17]>'
GRAPHS = {
    "good": f"""{HEADER}
good (float[N, 2] features) => (float[N] probability)
<float[2] weights = {{0.5, -0.25}}> {{
    score = MatMul(features, weights)
    probability = Sigmoid(score)
}}""",
    "better": f"""{HEADER}
better (float[N, 2] features) => (float[N] probability)
<float[2] weights = {{0.4, -0.2}}> {{
    score = MatMul(features, weights)
    probability = Sigmoid(score)
}}""",
    # Says yes to every row.
    "eager": f"""{HEADER}
eager (float[N, 2] features) => (float[N] probability)
<float[2] weights = {{0.5, 0.25}}> {{
    score = MatMul(features, weights)
    probability = Sigmoid(score)
}}""",
    # Decides positively where the good one does not, and the other way round.
    "contrary": f"""{HEADER}
contrary (float[N, 2] features) => (float[N] probability)
<float[2] weights = {{-0.5, 0.25}}> {{
    score = MatMul(features, weights)
    probability = Sigmoid(score)
}}""",
    # The same answer after some 10^10 multiplications that nobody needs.
    "slow": f"""{HEADER}
slow (float[N, 2] features) => (float[N] probability)
<float[2] weights = {{0.5, -0.25}}, int64[2] size = {{1500, 1500}}, float nothing = {{0.0}}> {{
    total = ReduceSum<keepdims = 0>(features)
    wide = Expand(total, size)
    square = MatMul(wide, wide)
    cube = MatMul(square, wide)
    one = ReduceMean<keepdims = 0>(cube)
    vain = Mul(one, nothing)
    score = MatMul(features, weights)
    shifted = Add(score, vain)
    probability = Sigmoid(shifted)
}}""",
    # Fails inside ONNX Runtime for every row whose first value is not 0.
    "failing": f"""{HEADER}
failing (float[N, 2] features) => (float[N] probability)
<int64 first = {{0}}, float[1] table = {{0.5}}> {{
    value = Gather<axis = 1>(features, first)
    index = Cast<to = 7>(value)
    probability = Gather(table, index)
}}""",
}
SIGNATURE = Signature(
    model_name="paint",
    key="paint_id",
    label="sold",
    inputs=(Input(name="amount", kind="numeric"), Input(name="months", kind="numeric")),
    threshold=0.5,
)
# Wide limits: the machine may be busy with other tests. 1 % errors and 10 % above 60 ms.
SLO = Slo(latency_limit_ms=60, latency_percentile=90, max_error_rate=0.01, rate_rps=100)


WEIGHTS = {"good": (0.5, -0.25), "better": (0.4, -0.2), "contrary": (-0.5, 0.25), "eager": (0.5, 0.25)}


def reference(graph: str) -> bytes:
    """Three rows and, where the formula is known, the right answers to them."""
    rows = [(0.0, 0.5), (1.0, 0.25), (1.0, 1.0)]
    a, b = WEIGHTS.get(graph, (None, None))
    right = [None if a is None else 1 / (1 + math.exp(-(a * x + b * y))) for x, y in rows]
    columns = {"amount": [x for x, _ in rows], "months": [y for _, y in rows]}
    table = pa.table(columns | {"probability": pa.array(right, pa.float64())})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


@pytest.fixture
def bundled(tmp_path: Path) -> Callable[[str], Bundle]:
    """A signed bundle around one of the graphs."""

    def make(graph: str) -> Bundle:
        lineage = Lineage(
            use_case="paint", snapshot_id="0" * 64, as_of=datetime(2020, 1, 1, tzinfo=UTC), kind=graph, seed=1
        )
        return write_bundle(
            tmp_path / "bundles",
            onnx=onnx.parser.parse_model(GRAPHS[graph]).SerializeToString(),
            signature=SIGNATURE,
            reference=reference(graph),
            slo=SLO,
            card="",
            lineage=lineage,
            key=load_or_create_key(tmp_path / "keys"),
        )

    return make


@pytest.fixture
def runs_as(tmp_path: Path, bundled: Callable[[str], Bundle]) -> Callable[[str, int], Revision]:
    """A graph as version so many of the model."""

    def make(graph: str, version: int) -> Revision:
        key = tmp_path / "keys" / VERIFY_KEY_FILE
        return revision_of(bundled(graph), verify_key=key, version=version)

    return make


@pytest.fixture
def target(tmp_path: Path) -> Iterator[LocalTarget]:
    """A gateway of its own with the real runtime; stopped at the end."""
    target = LocalTarget(tmp_path / "serving")
    yield target
    target.stop()


@pytest.fixture
def make_plan() -> Callable[..., Plan]:
    def make(stable: Revision, canary: Revision, **changes: object) -> Plan:
        fields = {"id": f"{canary.id}.1", "service": "paint", "stable": stable, "canary": canary, "slo": SLO}
        return Plan.model_validate(fields | {"look_every_s": 0.25, "step_deadline_s": 200} | changes)

    return make


class Load:
    """A few clients that ask one after the other until told to stop."""

    def __init__(self, url: str, clients: int = 4) -> None:
        self.answers: Counter[tuple[int, str]] = Counter()
        self.arms: dict[str, set[str]] = {}
        """Key → revisions that answered it."""
        self._host = url.removeprefix("http://")
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(seed,)) for seed in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, seed: int) -> None:
        draw = random.Random(seed)  # noqa: S311 - no secret
        connection = http.client.HTTPConnection(self._host, timeout=60)
        while not self._stop.is_set():
            row = [float(draw.random() < 0.5), draw.random()]
            try:
                status, revision = self._post(connection, row, key := f"k{draw.randrange(2_000)}")
                if status:
                    self.arms.setdefault(key, set()).add(revision)
            except OSError as error:
                connection.close()
                status, revision = 0, type(error).__name__
            self.answers[status, revision] += 1
            time.sleep(0.002)
        connection.close()

    @staticmethod
    def _post(connection: http.client.HTTPConnection, row: list[float], key: str) -> tuple[int, str]:
        columns = [("amount", "FP32", row[0]), ("months", "FP32", row[1]), ("paint_id", "BYTES", key)]
        inputs = [{"name": n, "shape": [1], "datatype": kind, "data": [value]} for n, kind, value in columns]
        body = json.dumps({"id": uuid.uuid4().hex, "inputs": inputs})
        headers = {"content-type": "application/json", "x-key": key}
        connection.request("POST", "/v2/models/paint/infer", body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get("x-revision", "")


@pytest.fixture
def load() -> type[Load]:
    return Load
