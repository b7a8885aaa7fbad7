"""The closer look at a graph that was really trained and exported: both kinds of model, on the irises."""

from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
import pytest

from modelway.data.frames import write_frame
from modelway.data.ingest import ingest
from modelway.data.snapshot import FolderSnapshotStore
from modelway.errors import ContractError
from modelway.evaluation.explanation import contributions_of
from modelway.evaluation.held_out import evaluate_on, subject_of
from modelway.evaluation.record import Evaluation
from modelway.evaluation.search_section import search_section
from modelway.features.training_set import build_training_set
from modelway.training.encoding import encode
from modelway.training.splits import split_by_time
from modelway.training.tune import Request, tune
from modelway.usecase import load_use_case

AS_OF = datetime(2020, 6, 1, tzinfo=UTC)


class SilentTracker:
    """Writes nothing: MLflow takes seconds to start and decides nothing."""

    @contextmanager
    def run(self, *_args: object, **_kwargs: object):
        yield "no run"

    def log(self, *_args: object, **_kwargs: object) -> None:
        pass

    log_epochs = log_bytes = log


@pytest.fixture(scope="module", params=["hgb", "mlp"])
def iris(request, tmp_path_factory):
    """Use case, trained model, the rows it was made from and is tested on."""
    folder = tmp_path_factory.mktemp("iris")
    use_case = load_use_case("iris")
    snapshots = FolderSnapshotStore(str(folder / "snapshots"))
    snapshot = ingest(use_case, None, snapshots)
    rows = build_training_set(use_case, snapshots.scan(snapshot.id, as_of=AS_OF), as_of=AS_OF)
    splits = split_by_time(rows, str(folder / "frames"))

    class OneKind(type(use_case)):
        candidates = tuple(each for each in use_case.candidates if each.kind == request.param)

    asked = Request(snapshot_id=snapshot.id, as_of=AS_OF, seed=3, trials=1)
    trained = tune(OneKind(), splits, asked, tracker=SilentTracker(), folder=str(folder / "models"))
    return use_case, trained, splits


@pytest.fixture(scope="module")
def evaluation(iris) -> Evaluation:
    return evaluate_on(*iris, None, 2)


def test_every_look_was_taken(evaluation):
    assert evaluation.thresholds
    assert evaluation.robustness
    assert evaluation.explanation
    assert evaluation.errors
    assert evaluation.unfamiliarity
    assert evaluation.test_openings == 2


def test_the_search_that_the_model_won_comes_along(iris, evaluation):
    _, trained, _ = iris

    [chosen] = [each for each in evaluation.search.finalists if each.chosen]
    assert evaluation.search.finalists == trained.finalists
    assert (chosen.kind, evaluation.search.trials) == (trained.kind, len(trained.trials))
    assert f"<b>{chosen.kind} trial {chosen.number}</b>" in search_section(evaluation.search)


def test_petals_tell_virginica(evaluation):
    assert evaluation.explanation.importance[0].feature in {"petal_length", "petal_width"}


def test_contributions_on_the_graph_add_up(iris):
    subject = subject_of(*iris)
    chosen = np.arange(len(subject.X))

    found = contributions_of(subject, chosen)

    assert found.values.sum(axis=1) == pytest.approx(subject.answer(subject.X) - found.base, abs=1e-6)


def test_hard_rows_are_named_by_their_key(iris, evaluation):
    use_case, _, splits = iris

    assert {row.key for row in evaluation.errors.hard_rows} <= set(
        splits.test.load()[use_case.contract.key].to_list()
    )


def test_the_same_rows_and_graph_give_the_same_evaluation(iris, evaluation):
    assert evaluate_on(*iris, None, 2) == evaluation


def test_rows_are_compared_with_the_newest_that_taught(iris):
    """All of them, for the irises are few: train rows, then calibration rows, which taught as well."""
    _, trained, splits = iris

    reference = subject_of(*iris).reference

    taught = (splits.train.load(), splits.calibration.load())
    np.testing.assert_array_equal(reference, np.vstack([encode(part, trained.signature) for part in taught]))


def test_rows_without_a_key_are_refused(iris, tmp_path):
    use_case, trained, splits = iris
    nameless = write_frame(splits.test.load().drop(use_case.contract.key), str(tmp_path))

    with pytest.raises(ContractError, match="no column"):
        evaluate_on(use_case, trained, splits.model_copy(update={"test": nameless}), None)
