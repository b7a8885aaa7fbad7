"""What a challenger has forgotten: its ranking against the champion's, on the champion's own test rows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from modelway.bundle.bundle import Bundle
from modelway.bundle.lineage import Lineage, Replay
from modelway.contract import Outcome, Reason, Verdict
from modelway.data.snapshot import FolderSnapshotStore
from modelway.optimize.scoring import Graph
from modelway.stats.bootstrap import Estimate, Sampling, bootstrap
from modelway.stats.ranking import FloatArray, roc_auc
from modelway.training.artifacts import Trained
from modelway.training.encoding import encode, labels
from modelway.training.policy import training_policy
from modelway.training.replay import replayed, training_rows
from modelway.training.splits import Shares, cut

if TYPE_CHECKING:
    from modelway.usecase import UseCase

METRIC = "forgetting.roc_auc"
TIME_SLICES = 4
"""Of equal numbers of rows, oldest first; shown, not judged: four looks would find one too low by chance."""


def memory_rows(
    use_case: "UseCase", champion: Lineage, snapshots: FolderSnapshotStore, replay: Replay | None
) -> pl.DataFrame:
    """The champion's test rows that the challenger was not shown again: neither has learnt from them.

    The champion need not be the model that was replayed: another may have been released since.

    Raises:
        NotFoundError: The champion's snapshot is gone.
    """
    history = snapshots.scan(champion.snapshot_id, as_of=champion.as_of)
    months = champion.window_months
    rows = training_rows(
        use_case, history, as_of=champion.as_of, replay=champion.replay, window_months=months
    )
    shares = Shares()
    _, test = cut(rows.sort("event_time", maintain_order=True), shares.test, shares.min_rows)
    if replay is None:
        return test
    again = pl.Series(replayed(test[use_case.contract.key], replay))
    return test.filter(~again & (pl.col("label_matured_at") <= replay.until))


def forgetting(use_case: "UseCase", trained: Trained, champion: Bundle, rows: pl.DataFrame) -> Verdict:
    """Hold the challenger's loss of ROC-AUC against the policy's limit.

    As every comparison it fails only when the whole interval lies beyond the limit.

    Args:
        use_case: Its gates say how many rows are enough, its policy how much may be forgotten.
        trained: The challenger.
        champion: The model before.
        rows: From `memory_rows`.

    Returns:
        INCONCLUSIVE on too few rows or positives. Evidence: the difference in each time slice.
    """
    limit, y = training_policy(use_case).max_forgetting, labels(rows)
    positives = int(y.sum())
    enough = len(y) >= use_case.gates.min_rows and positives >= use_case.gates.min_positives
    evidence: dict[str, Any] = {"forgetting": {"rows": len(y), "positives": positives}}
    if not enough:
        message = f"forgetting: {len(y):,} rows with {positives} positives are too few to tell"
        few = Reason(
            metric=METRIC, outcome=Outcome.INCONCLUSIVE, message=message, limit=-limit, samples=len(y)
        )
        return Verdict.of([few], evidence)
    scores = _scores(trained.onnx.read(), trained, rows), _scores(champion.model.read_bytes(), champion, rows)
    whole = _compared(y, *scores, trained.seed)
    evidence["forgetting"] |= {name: each.model_dump() for name, each in whole.items()}
    evidence["forgetting"]["slices"] = list(_slices(rows, y, scores, trained.seed))
    return Verdict.of([_held(whole["difference"], limit, len(y))], evidence)


def measured(verdict: Verdict) -> dict[str, float]:
    """As MLflow metrics."""
    found = verdict.evidence["forgetting"]
    names = ("challenger", "champion", "difference")
    values = {f"forgetting_{name}": found.get(name, {}).get("value") for name in names}
    numbers = {name: value for name, value in values.items() if value is not None}
    return {**numbers, "forgetting_rows": found["rows"]}


def _scores(onnx: bytes, of: Trained | Bundle, rows: pl.DataFrame) -> FloatArray:
    return Graph(onnx).probabilities(encode(rows, of.signature)).astype(np.float64)


def _compared(y: Any, challenger: FloatArray, champion: FloatArray, seed: int) -> Mapping[str, Estimate]:
    def statistics(weights: FloatArray) -> Mapping[str, FloatArray]:
        own, other = roc_auc(y, challenger, weights), roc_auc(y, champion, weights)
        return {"challenger": own, "champion": other, "difference": own - other}

    return bootstrap(statistics, len(y), Sampling(seed=seed))


def _slices(rows: pl.DataFrame, y: Any, scores: tuple[FloatArray, FloatArray], seed: int) -> Any:
    times = rows["event_time"]
    for part in np.array_split(times.arg_sort().to_numpy(), TIME_SLICES):
        span = times.gather(part)
        found = _compared(y[part], scores[0][part], scores[1][part], seed)
        yield {
            "from": f"{span[0]:%Y-%m-%d}",
            "to": f"{span[-1]:%Y-%m-%d}",
            "rows": len(part),
            "positives": int(y[part].sum()),
            "difference": found["difference"].model_dump(),
        }


def _held(difference: Estimate, limit: float, rows: int) -> Reason:
    if difference.value is None or difference.high is None:
        message, outcome = "forgetting: ROC-AUC has no interval here", Outcome.INCONCLUSIVE
    else:
        lost = difference.high < -limit
        outcome = Outcome.FAIL if lost else Outcome.PASS
        message = (
            f"ROC-AUC minus the champion's on {rows:,} rows of its own time {difference.text()}, "
            f"{'all of it' if lost else 'not surely'} below -{limit:g}"
        )
    return Reason(
        metric=METRIC,
        outcome=outcome,
        message=message,
        found=difference.value,
        limit=-limit,
        samples=rows,
    )
