"""Payments as they come in: card and merchant named, sums streamed, the log held against training."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from keyed_bundles import Mixed, bundle_of

from modelway.bundle.bundle import Bundle
from modelway.bundle.signing import VERIFY_KEY_FILE
from modelway.contract import Outcome
from modelway.data.validation import Inspection
from modelway.features.at_request import AT, FROM_STORE, SUBJECT, offline_values
from modelway.features.derived import derived_frame
from modelway.features.join import TIME
from modelway.features.store import FeatureStore
from modelway.features.training_set import feature_rows
from modelway.monitoring.monitor import Subject
from modelway.monitoring.skew import SkewReport, measure_skew
from modelway.monitoring.windows import Window
from usecases.fraud import use_case
from usecases.fraud.simulator.scenario import FIRST_DAY
from usecases.fraud.stream import Arrival, StreamJob, arrivals

SOURCE = "simulator?seed=5&days=6&cards=40&merchants=40&rings=1&late_share=0.1&disordered_share=0.3"
WARM = FIRST_DAY + timedelta(days=2)
END = FIRST_DAY + timedelta(days=6)
STOPS, EACH = 21, 10
INFER, PREDICT = "/v2/models/fraud/infer", "/v1/models/fraud:predict"
WAIT_S = 60.0


@pytest.fixture(scope="module")
def history() -> pl.LazyFrame:
    inspection = Inspection(use_case.contract)
    return pl.concat(inspection.take(use_case.clean(raw))[0] for raw in use_case.load(SOURCE)).lazy()


@dataclass
class World:
    """A store that was materialised and goes on by the stream, and a server beside it."""

    history: pl.LazyFrame
    rows: pl.DataFrame
    job: StreamJob
    waiting: list[Arrival]
    bundle: Bundle
    log: Path
    server: Any
    asked: int = field(default=0)

    def pass_time(self, moment: datetime, *, publish: bool = True) -> None:
        while self.waiting and self.waiting[0].known_us <= moment.timestamp() * 1e6:
            self.job.take(self.waiting.pop(0))
        if publish:
            self.job.publish(moment)

    def payments(self, moment: datetime) -> pl.DataFrame:
        """The newest payments by then, with what a client knows of each."""
        return self.rows.filter(pl.col("known_at") <= moment).tail(EACH)

    def ask(self, moment: datetime) -> list[float]:
        records = [record(row, moment) for row in self.payments(moment).iter_rows(named=True)]
        tensor = {"name": "records", "datatype": "BYTES", "shape": [len(records)], "data": records}
        answer = httpx.post(self.server.url + INFER, json={"inputs": [tensor]}, timeout=30)
        assert answer.status_code == 200, answer.text
        self.asked += len(records)
        return list(answer.json()["outputs"][0]["data"])

    def skew(self, since: datetime, until: datetime) -> SkewReport:
        """Once the log holds everything."""
        deadline = time.monotonic() + WAIT_S
        while self.server.metric("modelway_prediction_log_written_total") < self.asked:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        subject, window = Subject.of(self.bundle), Window(since, until)
        return measure_skew(self.log, self.history, use_case=use_case, subject=subject, window=window)


def record(row: dict[str, Any], moment: datetime) -> dict[str, Any]:
    own = {name: row[name] for name in ("transaction_id", "card_id", "merchant_id")}
    own |= {feature.name: row[feature.name] for feature in use_case.features.row}
    return own | {"event_time": round(moment.timestamp() * 1e6)}


@pytest.fixture
def world(tmp_path: Path, keys: Path, history: pl.LazyFrame, begin: Callable[..., Any]) -> World:
    features = FeatureStore(tmp_path / "features")
    known = history.filter(pl.col("known_at") <= WARM)
    features.materialise(use_case, known, as_of=WARM)
    job, waiting = StreamJob(features, use_case), list(arrivals(history))
    while waiting[0].known_us <= WARM.timestamp() * 1e6:
        job.take(waiting.pop(0))
    job.pass_over(WARM)
    settings, log = tmp_path / "settings.yaml", tmp_path / "log"
    settings.write_text(json.dumps({"online_store": str(features.online_file(use_case))}))
    bundle = bundle_of(use_case, tmp_path, keys, history, as_of=WARM)
    where = ["--bundle", str(bundle.path), "--verify-key", str(keys / VERIFY_KEY_FILE), "--port", "0"]
    options = [*where, "--revision", "r1", "--settings", str(settings), "--log-dir", str(log)]
    server = begin([sys.executable, "-m", "serving.runtime", *options])
    return World(history, described(history), job, waiting, bundle, log, server)


def described(history: pl.LazyFrame) -> pl.DataFrame:
    """Every payment with its own columns as the features have them, in order of arrival."""
    row = [feature.name for feature in use_case.features.row]
    ids = history.select("transaction_id", "known_at", "card_id", "merchant_id").collect()
    return pl.concat([ids, feature_rows(use_case, history, history).select(row)], how="horizontal").sort(
        "known_at"
    )


def looked_up(world: World, moment: datetime) -> pl.DataFrame:
    """Every feature of the same payments, looked up offline at the moment."""
    rows = world.payments(moment)
    asked = rows.select(
        pl.col("transaction_id").alias(SUBJECT),
        pl.lit(moment).cast(TIME).alias(AT),
        pl.lit(value=True).alias(FROM_STORE),
        "card_id",
        "merchant_id",
    )
    return offline_values(use_case, world.history, asked).select(use_case.features.names)


def by_value(world: World, moment: datetime) -> list[float]:
    """The answers to the same payments with every feature sent."""
    found = looked_up(world, moment)
    answer = httpx.post(world.server.url + PREDICT, json={"instances": found.to_dicts()}, timeout=30)
    world.asked += found.height
    return list(answer.json()["predictions"])


def test_what_is_served_by_card_and_merchant_is_what_training_sees_until_the_stream_stops(
    world: World,
) -> None:
    moments = [WARM + timedelta(hours=2 * stop + 1, minutes=7 * stop) for stop in range(STOPS)]
    answers = []
    for moment in moments:
        world.pass_time(moment)
        answers.append(world.ask(moment))
    assert answers[-1] == by_value(world, moments[-1])
    last, signature = looked_up(world, moments[-1]), world.bundle.signature
    assert answers[-1] == pytest.approx(Mixed(signature).probabilities(last, signature), abs=1e-6)
    assert signature.derived == use_case.features.derived
    assert derived_frame(last, use_case.features)["amount_to_card_mean_24h"].null_count() < EACH
    assert len({round(answer, 6) for each in answers for answer in each}) > STOPS

    report = world.skew(WARM, moments[-1] + timedelta(microseconds=1))

    assert report.verdict.outcome is Outcome.PASS, report.verdict.summary()
    assert report.compared == STOPS * EACH
    assert all(feature.exact == feature.rows == STOPS * EACH for feature in report.features)

    stopped = [moments[-1] + timedelta(hours=hours) for hours in (6, 12, 18, 24)]
    for moment in stopped:
        world.pass_time(moment, publish=False)
        world.ask(moment)
    report = world.skew(moments[-1] + timedelta(seconds=1), END)

    assert report.verdict.outcome is Outcome.FAIL
    wrong = {feature.name: feature for feature in report.features if feature.differing}
    assert {feature.view for feature in wrong.values()} == {"card_lately", "merchant_lately"}
    worst = wrong["card_purchases_24h"].examples[-1]
    assert worst.entity in set(world.rows["card_id"])
    assert worst.stored_at is not None
    assert worst.stored_at <= moments[-1] < worst.at
