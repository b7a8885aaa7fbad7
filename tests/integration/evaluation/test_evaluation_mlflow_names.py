"""Our metric names are those of MLflow's own evaluation, and so are the numbers."""

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from modelway.contract import CostMatrix
from modelway.evaluation import evaluate
from modelway.evaluation.twin import mlflow_metrics


@pytest.fixture(scope="module")
def by_mlflow(tmp_path_factory):
    """Rows, a fitted model, and what `mlflow.models.evaluate` says of it."""
    folder = tmp_path_factory.mktemp("mlflow")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    experiment = mlflow.create_experiment("names", artifact_location=folder.as_uri())
    random = np.random.default_rng(0)
    X = pd.DataFrame(random.normal(size=(600, 3)), columns=["a", "b", "c"])
    y = (random.random(600) < 1 / (1 + np.exp(1 - 2 * X["a"]))).astype(int)
    model = LogisticRegression().fit(X, y)
    try:
        with mlflow.start_run(experiment_id=experiment):
            logged = mlflow.sklearn.log_model(model, name="model", pip_requirements=["scikit-learn"])
            found = mlflow.models.evaluate(
                logged.model_uri,
                X.assign(label=y),
                targets="label",
                model_type="classifier",
                evaluators="default",
                evaluator_config={"log_explainer": False, "log_model_explainability": False, "pos_label": 1},
            )
    finally:
        mlflow.set_tracking_uri(before)
    return y.to_numpy(), model.predict_proba(X)[:, 1], found.metrics


def test_every_metric_of_mlflow_is_there_with_its_value(by_mlflow):
    y, scores, theirs = by_mlflow
    costs = CostMatrix(false_positive=1, false_negative=1)

    ours = mlflow_metrics(evaluate(y=y, scores=scores, threshold=0.5, costs=costs, seed=1, resamples=20))

    assert {"roc_auc", "precision_recall_auc", "log_loss", "accuracy_score", "f1_score"} <= set(theirs)
    for name, value in theirs.items():
        if name != "score":  # scikit-learn's own word for the accuracy
            assert ours[name] == pytest.approx(value), name
