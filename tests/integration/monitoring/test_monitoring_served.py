"""What the model server logs is what monitoring reads: served, asked, drained, looked at."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx.parser
import polars as pl
import pytest

from loadtests.run import run_load
from modelway.bundle.bundle import Bundle, write_bundle
from modelway.bundle.lineage import Lineage
from modelway.bundle.signature import Input, Signature
from modelway.bundle.signing import VERIFY_KEY_FILE, load_or_create_key
from modelway.contract import Outcome, Slo
from modelway.monitoring.monitor import Subject, monitor
from modelway.monitoring.policy import MonitoringPolicy
from modelway.monitoring.triggers import Cause

AS_OF = datetime(2006, 1, 1, tzinfo=UTC)
WINDOWS, ROWS = 3, 300
GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
risk (float[N, 2] features) => (float[N] probability) <int64 i0 = {0}>
{
    amount = Gather<axis = 1>(features, i0)
    probability = Sigmoid(amount)
}
"""


def _frame(draw: np.random.Generator, rows: int, shift: float = 0.0) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "amount": draw.normal(shift - 2, 1, rows).astype(np.float32),
            "state": draw.choice(["CA", "NY", None], rows),
        }
    )


def _reference() -> bytes:
    frame = _frame(np.random.default_rng(1), 4000)
    codes = pl.col("state").replace_strict({"CA": 0.0, "NY": 1.0}, default=None, return_dtype=pl.Float32)
    score = 1 / (1 + (-pl.col("amount")).exp())
    out = BytesIO()
    frame.with_columns(codes.fill_null(float("nan")), score.alias("probability")).write_parquet(out)
    return out.getvalue()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("served")
    inputs = (
        Input(name="amount", kind="numeric"),
        Input(name="state", kind="category", vocabulary=("CA", "NY")),
    )
    return write_bundle(
        folder,
        onnx=onnx.parser.parse_model(GRAPH).SerializeToString(),
        signature=Signature(model_name="risk", key="loan_id", label="bad", inputs=inputs, threshold=0.5),
        reference=_reference(),
        slo=Slo(latency_limit_ms=2000, rate_rps=300),
        card="# Risk\n",
        lineage=Lineage(
            use_case="risk",
            snapshot_id="0" * 64,
            as_of=AS_OF - timedelta(days=90),
            kind="hand",
            seed=1,
            training_rows=9000,
            metrics={"roc_auc": 0.7},
        ),
        key=load_or_create_key(folder / "keys"),
    )


@pytest.fixture
def ask(bundle: Bundle, tmp_path: Path) -> Iterator[Callable[[pl.DataFrame], Path]]:
    """Serve the bundle, send it the rows once, drain it; answer where it logged."""
    log = tmp_path / "predictions"
    key = bundle.path.parent / "keys" / VERIFY_KEY_FILE
    server = subprocess.Popen(
        [
            *(
                sys.executable,
                "-m",
                "serving.runtime",
                "--bundle",
                str(bundle.path),
                "--verify-key",
                str(key),
            ),
            *("--revision", "r1", "--port", "0", "--log-dir", str(log)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    deaf = threading.Timer(120, server.kill)
    deaf.start()

    def send(rows: pl.DataFrame) -> Path:
        rows.write_parquet(tmp_path / "rows.parquet")
        report = run_load(
            url=json.loads(server.stdout.readline())["address"],
            model="risk",
            rows=tmp_path / "rows.parquet",
            out=tmp_path / "load",
            slo=bundle.slo,
            key="loan_id",
            event_time="event_time",
            once=True,
            purpose="user",
        )
        assert report.verdict.passed, report.verdict.reasons
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        return log

    yield send
    deaf.cancel()
    server.kill()
    server.wait()


def _asked(shift: float) -> pl.DataFrame:
    """Three windows of 300 rows each, evenly spread."""
    draw = np.random.default_rng(2)
    rows = WINDOWS * ROWS
    since = AS_OF - timedelta(days=30 * WINDOWS)
    times = [since + timedelta(days=30 * WINDOWS) * (k / rows) for k in range(rows)]
    return _frame(draw, rows, shift).with_columns(
        pl.Series("loan_id", range(rows)), pl.Series("event_time", times, dtype=pl.Datetime("us", "UTC"))
    )


@pytest.mark.parametrize(
    ("shift", "causes"),
    [pytest.param(0.0, (), id="as-before"), pytest.param(0.6, (Cause.DRIFT,), id="shifted")],
)
def test_what_was_served_is_what_is_monitored(
    ask, bundle: Bundle, shift: float, causes: tuple[Cause, ...]
) -> None:
    asked = _asked(shift)
    labels = asked.select(
        "loan_id",
        pl.lit(0, pl.Int8).alias("label"),
        (pl.col("event_time") + timedelta(days=720)).alias("label_matured_at"),
    )
    report = monitor(
        ask(asked),
        pl.read_parquet(bundle.reference),
        labels,
        subject=Subject.of(bundle),
        as_of=AS_OF,
        policy=MonitoringPolicy(windows=WINDOWS, performance_windows=WINDOWS),
    )

    assert [w.rows for w in report.drift.windows] == [ROWS] * WINDOWS
    assert report.decision.causes == causes
    assert report.drift.verdict.outcome is (Outcome.FAIL if causes else Outcome.PASS)
    assert report.performance.verdict.outcome is Outcome.INCONCLUSIVE
    state = next(c for c in report.drift.columns if c.name == "state")
    assert max(d.effect for d in state.differences) < 0.1
