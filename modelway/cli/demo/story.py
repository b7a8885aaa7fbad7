"""One turn of the loop on real loans, station by station."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from flows.batch_inference import BatchConfig, batch_inference_flow
from flows.bridge import output
from flows.continuous_training import ContinuousTrainingConfig, continuous_training_flow
from flows.load_test import LoadTestConfig, load_test_flow
from flows.rollout import Rehearsal, RolloutConfig, rollout_flow
from flows.training import TrainingConfig, training_flow
from modelway.cli.demo import figures
from modelway.cli.demo.board import Board, Row
from modelway.cli.demo.scenario import Scenario
from modelway.cli.demo.slow import register_slow
from modelway.cli.demo.stream import applications, replay, wait_for_log
from modelway.data.frames import FrameRef
from modelway.data.snapshot import Snapshot
from modelway.errors import GateError, RolloutError
from modelway.monitoring.monitor import MonitoringReport
from modelway.usecase import UseCase, load_use_case
from serving.rollout.runner import Records
from serving.rollout.state import RolloutState
from stacks.active import registry, reports_folder, serving_target
from stacks.release import Released
from stacks.reports import evaluation_page
from stacks.watch import page_of

BATCH_PERIOD = timedelta(days=182)


@dataclass(slots=True)
class Story:
    """What the stations hand on."""

    scenario: Scenario
    board: Board
    use_case: UseCase = field(default_factory=lambda: load_use_case("credit"))

    def tell(self) -> None:
        """Go round once.

        Raises:
            ModelwayError: A station failed, or did not do what the story is about.
        """
        snapshot = self._train()
        self._release()
        self._load_test()
        self._stream(snapshot)
        self._retrain()
        self._roll_out_badly()
        self._score_batch(snapshot)

    def _train(self) -> Snapshot:
        config = TrainingConfig(
            as_of=self.scenario.champion_as_of, trials=self.scenario.trials, seed=self.scenario.seed
        )
        with self.board.station("train a champion") as row:
            run = training_flow(config)
            snapshot: Snapshot = output(run, "snapshot")
            version = output(run, "registered_version")
            row.happened = figures.trained(version, output(run, "trained"))
            row.figure, row.look = figures.quality(output(run, "evaluation")), str(evaluation_page(version))
            words = figures.data(snapshot, output(run, "skew_report"))
            self.board.add(Row("data", words, snapshot.id[:12], f"modelway data show {snapshot.id[:12]}"))
        return snapshot

    def _release(self) -> None:
        with self.board.station("first release") as row:
            done: Released = output(rollout_flow(RolloutConfig()), "rollout_verdict")
            row.happened = f"{done.version.reference}: signature verified, all traffic"
            row.figure, row.look = done.url, f"{done.url}/v2/models/{self.use_case.name}"

    def _load_test(self) -> None:
        scenario, slo = self.scenario, self.use_case.slo
        as_of, duration_s = scenario.champion_as_of, scenario.load_s
        with self.board.station("load test") as row:
            run = load_test_flow(LoadTestConfig(as_of=as_of, duration_s=duration_s, rate_rps=slo.rate_rps))
            report = output(run, "load_report")
            row.happened = f"{report.results.planned:,} requests, {report.results.failed} failed: SLO kept"
            row.figure, row.look = figures.latency(report), str(report.page)

    def _stream(self, snapshot: Snapshot) -> None:
        since, until = self.scenario.champion_as_of, self.scenario.stream_until
        bundle = registry().bundle(self.use_case.name, "champion")
        with self.board.station("live traffic") as row:
            rows = applications(self.use_case, snapshot, since=since, until=until, every=self.scenario.every)
            report = replay(self.use_case, rows, bundle.slo)
            logged = wait_for_log(bundle.digest, since=since, until=until, rows=rows.rows)
            row.happened = f"{rows.rows:,} applications of {since:%Y-%m} to {until:%Y-%m} answered"
            row.figure = f"{report.results.failed} failed, {logged.height:,} in the prediction log"
            row.look = str(serving_target().prediction_log_folder)

    def _retrain(self) -> None:
        scenario = self.scenario
        config = ContinuousTrainingConfig(
            as_of=scenario.stream_until,
            trials=scenario.trials,
            seed=scenario.seed,
            rehearsal_rate_rps=scenario.load_rate_rps,
        )
        with self.board.station("continuous training") as row:
            run = continuous_training_flow(config)
            report: MonitoringReport = output(run, "monitoring_report")
            _require_asked(report)
            version = output(run, "registered_version")
            row.happened = figures.trained(version, output(run, "trained"))
            row.figure, row.look = figures.quality(output(run, "evaluation")), str(evaluation_page(version))
            page = page_of(reports_folder() / "monitoring" / report.model, report.as_of)
            self.board.add(Row("monitoring", figures.monitoring(report), figures.matured(report), str(page)))
        self._show_canary(output(run, "rollout_verdict"))

    def _show_canary(self, done: Released) -> None:
        state = done.rollout
        if state is None:
            raise GateError("no canary ran", expected="a champion to compare with", remedy="read the log")
        row = Row("canary", f"{done.version.reference}: {figures.path(state)}, then promoted")
        row.figure = figures.evidence(state)
        row.look = f"modelway rollout status {self.use_case.name}"
        row.seconds = (state.timeline[-1].at - state.timeline[0].at).total_seconds()
        self.board.add(row)

    def _roll_out_badly(self) -> None:
        scenario = self.scenario
        rehearsal = Rehearsal(as_of=scenario.stream_until, rate_rps=scenario.load_rate_rps)
        with self.board.station("a bad revision") as row:
            version = register_slow(self.use_case.name)
            state = _rolled_back(RolloutConfig(reference=str(version.version), rehearsal=rehearsal))
            row.happened = f"{version.reference} is right but slow; rolled back: {state.cause}"
            row.figure = figures.restored(state)
            row.look = f"modelway rollout status {self.use_case.name}"

    def _score_batch(self, snapshot: Snapshot) -> None:
        until = self.scenario.stream_until
        with self.board.station("batch") as row:
            rows = applications(self.use_case, snapshot, since=until, until=until + BATCH_PERIOD)
            source = _folder_of(rows)
            config = BatchConfig(source=str(source), target=str(source.parent / "scored"))
            report = output(batch_inference_flow(config), "batch_report")
            row.happened = f"{report.rows:,} applications of the six months after, scored exactly once"
            row.figure, row.look = f"{report.rows_per_s:,.0f} rows/s", str(report.manifest)


def _require_asked(report: MonitoringReport) -> None:
    if not report.decision.retrain:
        raise GateError(
            f"nothing asked for a new model: {report.verdict.summary()}",
            expected="the shift of 2006-2008 to be seen",
            remedy="read the monitoring page",
        )


def _rolled_back(config: RolloutConfig) -> RolloutState:
    try:
        rollout_flow(config)
    except RolloutError:
        return Records(serving_target().root).require(config.model).state
    raise GateError(
        f"{config.model}@{config.reference} was promoted although it is slow",
        expected="a rollback",
        remedy=f"read `modelway rollout status {config.model}`, and report it",
    )


def _folder_of(rows: FrameRef) -> Path:
    """A folder that holds the rows alone, as a batch job would find them."""
    file = Path(rows.uri)
    folder = file.parent.parent / "batch" / rows.sha256[:12] / "rows"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "applications.parquet").write_bytes(file.read_bytes())
    return folder
