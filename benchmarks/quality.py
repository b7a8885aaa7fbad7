"""Is the champion's way as good as a tuned LightGBM on the same rows? Real loans, label after 24 months.

    python benchmarks/quality.py [--source full] [--as-of 2005-01-01 2007-01-01] [--trials 4] [--more 40]

Ours: `modelway.training.tune`, with the use case's own candidates and `--trials` settings each, scored by
the ONNX graph that would be served. The rival: LightGBM with native categories, tuned by Optuna
(`learning/rival.py`), once with as many trials as ours had in all, once with `--more`. Both learn and tune
on the same rows, train and calibration rows, and calibrate by a cross-fit on the same rows; the test rows lie
after all of them and are looked at once, here. `--learns train` adds rivals that keep the calibration rows
for the calibration alone.

Intervals: 95 %, bootstrap over test rows, the same resamples for all (`modelway.stats.bootstrap`); the
difference is paired. Exit code 1: by PR-AUC ours is worse on one of the tests, beyond noise.
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

# benchmarks/serving.py is not the package of that name: this folder is asked last
sys.path.append(sys.path.pop(sys.path.index(str(Path(__file__).parent))))

from learning.rival import Question, tuned
from learning.rows import Source, Task, truth

from modelway.optimize.scoring import Graph
from modelway.stats.bootstrap import Estimate, Sampling, bootstrap
from modelway.stats.calibration import log_loss
from modelway.stats.ranking import FloatArray, areas
from modelway.training.encoding import encode
from modelway.training.tune import Request, tune
from modelway.usecase import load_use_case

SEED = 7
Scores = Mapping[str, Mapping[str, FloatArray]]
"""Contestant -> test -> probabilities."""


class Untracked:
    """Keeps no records: a benchmark is no experiment."""

    @contextmanager
    def run(self, *_: object, **__: object) -> Iterator[str]:
        """A run that is nowhere."""
        yield "none"

    def log(self, *_: object, **__: object) -> None:
        """Nothing."""

    log_epochs = log_bytes = bury = log


def ours(source: Source, task: Task, trials: int) -> tuple[str, Mapping[str, FloatArray], int]:
    """What was chosen, its scores for each test, and how many trials it took."""
    request = Request(snapshot_id=source.snapshot.id, as_of=task.as_of, seed=SEED, trials=trials)
    tracker: Any = Untracked()
    made = tune(source.use_case, task.splits, request, tracker=tracker, folder=f"{source.folder}/models")
    graph = Graph(made.onnx.read())
    scores = {
        name: np.asarray(graph.probabilities(encode(rows, made.signature)), dtype=np.float64)
        for name, rows in task.tests.items()
    }
    return f"{made.kind} {dict(made.params)}", scores, len(made.trials)


def compare(y: FloatArray, scores: Mapping[str, FloatArray], resamples: int) -> dict[str, Estimate]:
    """Each contestant's figures, and ours less each rival's, all on the same resamples."""
    first, *rivals = scores

    def statistics(weights: FloatArray) -> dict[str, FloatArray]:
        found = {name: _figures(y, p, weights) for name, p in scores.items()}
        each = {f"{n} {metric}": v for n, figures in found.items() for metric, v in figures.items()}
        gaps = {
            f"{first} - {rival} {metric}": found[first][metric] - found[rival][metric]
            for rival in rivals
            for metric in found[first]
        }
        return {**each, **gaps}

    return bootstrap(statistics, len(y), Sampling(seed=SEED, resamples=resamples))


def _figures(y: FloatArray, p: FloatArray, weights: FloatArray) -> dict[str, FloatArray]:
    ranked = areas(y, p, weights)
    return {"PR-AUC": ranked.pr_auc, "ROC-AUC": ranked.roc_auc, "log loss": log_loss(y, p, weights)}


def contest(source: Source, task: Task, arguments: argparse.Namespace) -> bool:
    """Train all, print what came of it; whether ours kept up on both tests."""
    began_s = time.monotonic()
    chosen, found, spent = ours(source, task, arguments.trials)
    scores = {"ours": found}
    print(f"\n## as of {task.as_of:%Y-%m-%d}: {task.splits.train.rows:,} train rows, ", end="")
    print(f"{task.splits.positives[0]:,} charged off\n\nours: {chosen}, {spent} trials, ", end="")
    print(f"{time.monotonic() - began_s:.0f} s")
    names = list(source.use_case.features.names)
    for learns in arguments.learns:
        began_s = time.monotonic()
        asked = Question(names, sorted({spent, arguments.more}), SEED, arguments.threads, learns)
        for trials, rival in zip(asked.trials, tuned(task.splits, asked), strict=True):
            name = f"LightGBM, {trials} trials" + (", train rows alone" if learns == "train" else "")
            print(f"{name}: {rival.params}, {time.monotonic() - began_s:.0f} s")
            scores[name] = {test: rival.probabilities(rows) for test, rows in task.tests.items()}
    held = [_printed(test, rows, scores, arguments.resamples) for test, rows in task.tests.items()]
    return all(held)


def _printed(test: str, rows: pl.DataFrame, scores: Scores, resamples: int) -> bool:
    y = truth(rows)
    found = compare(y, {name: per_test[test] for name, per_test in scores.items()}, resamples)
    print(f"\n{test}: {len(y):,} loans, {y.mean():.1%} charged off\n")
    print("| | PR-AUC | ROC-AUC | log loss |\n|---|---|---|---|")
    rows_ = [*scores, *(f"ours - {name}" for name in scores if name != "ours")]
    for name in rows_:
        cells = (found[f"{name} {metric}"].text(4) for metric in ("PR-AUC", "ROC-AUC", "log loss"))
        print(f"| {name} | {' | '.join(cells)} |")
    gaps = [found[f"ours - {name} PR-AUC"] for name in scores if name != "ours"]
    held = all(gap.high is not None and gap.high >= 0 for gap in gaps)
    print(f"\nbeyond noise, ours is {'not ' if held else ''}worse by PR-AUC here")
    return held


def main() -> int:
    """Run all days; 1 when ours is worse beyond noise on one of them."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--source", default="", help="full, sample or a file; default: full if it is there")
    words.add_argument("--as-of", nargs="+", default=["2005-01-01", "2007-01-01"])
    words.add_argument("--test-months", type=int, default=12)
    words.add_argument("--trials", type=int, default=4, help="of each of our kinds")
    words.add_argument("--more", type=int, default=40, help="trials of the second LightGBM")
    ways = ["train+calibration", "train"]
    words.add_argument("--learns", nargs="+", choices=ways, default=ways[:1], help="from which rows LightGBM")
    words.add_argument("--threads", type=int, default=1, help="of LightGBM; more than free cores is slow")
    words.add_argument("--resamples", type=int, default=300)
    arguments = words.parse_args()
    logging.getLogger("modelway").setLevel(logging.WARNING)
    use_case: Any = load_use_case("credit")
    chosen = arguments.source or ("full" if Path(use_case.resolve("full")).is_file() else "sample")
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a run takes minutes: show each line
    print(f"source: {chosen}; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        source = Source.ingested(use_case, chosen, Path(folder))
        days = [datetime.fromisoformat(day).replace(tzinfo=UTC) for day in arguments.as_of]
        held = [contest(source, source.task(day, arguments.test_months), arguments) for day in days]
    return 0 if all(held) else 1


if __name__ == "__main__":
    raise SystemExit(main())
