"""The report for machines."""

import json

import numpy as np
import pytest
from sklearn import metrics

from modelway.contract import Gates
from modelway.evaluation import Evaluation, evaluate, gates
from modelway.evaluation.twin import mlflow_metrics, report_json


@pytest.fixture(scope="module")
def given(rows):
    return rows.make()


@pytest.fixture(scope="module")
def evaluation(given):
    return evaluate(**given)


def written(evaluation) -> str:
    verdict = gates(evaluation, Gates(min_slice_rows=150))
    return report_json(evaluation, verdict, title="credit, version 3", lineage={"seed": 7})


def test_the_document_holds_the_whole_evaluation(evaluation):
    read = json.loads(written(evaluation))

    assert Evaluation.model_validate(read["evaluation"]) == evaluation
    assert read["verdict"]["outcome"] == "pass"
    assert read["title"] == "credit, version 3"
    assert read["lineage"] == {"seed": 7}
    assert read["mlflow_metrics"] == mlflow_metrics(evaluation)


def test_it_is_strict_json_also_for_scores_that_are_no_numbers(rows):
    given = rows.make(100)
    given["scores"] = np.full(100, np.nan)

    text = written(evaluate(**given))

    assert json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert json.loads(text)["mlflow_metrics"] == {"example_count": 100}


def test_same_evaluation_same_text(evaluation):
    assert written(evaluation) == written(evaluation)


def test_metrics_have_the_values_of_scikit_learn_under_their_names(given, evaluation):
    y, flagged = given["y"], given["scores"] >= given["threshold"]

    found = mlflow_metrics(evaluation)

    for name in ("accuracy_score", "precision_score", "recall_score", "f1_score"):
        assert found[name] == pytest.approx(getattr(metrics, name)(y, flagged)), name
    negatives = metrics.confusion_matrix(y, flagged)[0]
    assert [found["true_negatives"], found["false_positives"]] == negatives.tolist()
    assert found["example_count"] == len(y)
