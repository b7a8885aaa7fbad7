"""LightGBM and XGBoost: the exported trees send every float32 the way the library does."""

import sys

import numpy as np
import pytest
import xgboost

from modelway.bundle.signature import Input
from modelway.errors import ConfigError, UnsupportedGraphError
from modelway.optimize.export import to_onnx
from modelway.optimize.forest import read_forest
from modelway.optimize.scoring import Graph
from modelway.optimize.trees import boundary_rows, tensor_form, tree_nodes
from modelway.training.calibration import Calibrator
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import Recipe, Rows, ignore_epoch
from modelway.training.candidates.xgboost_trees import LARGEST, FittedXgBoost, _branch

LIGHTGBM = pytest.mark.apt("libgomp1")
"""Without it not even the import works: hence those inside the tests."""
BOTH = [pytest.param("lightgbm", marks=LIGHTGBM), "xgboost"]
ZERO = float(np.float32(1e-35))
"""LightGBM's kZeroThreshold."""

BIG_STEPS = {
    "lightgbm": {"num_iterations": 12, "num_leaves": 31, "min_data_in_leaf": 1, "learning_rate": 0.3},
    "xgboost": {"num_boost_round": 12, "max_depth": 6, "min_child_weight": 0, "learning_rate": 0.3},
}
"""Leaves far apart: one wrong turn is far more than rounding."""
PLAIN = Calibrator(slope=1, intercept=0)
INPUTS = tuple(Input(name=name, kind="numeric") for name in "abcd")


def awkward_rows(n=800, seed=0):
    """Tiny and huge numbers of both signs, few distinct values, one column that is never missing."""
    rng = np.random.default_rng(seed)
    X = np.column_stack(
        [
            rng.choice([-1, 1], n) * rng.lognormal(0, 20, n),
            rng.choice([-1, 1], n) * rng.lognormal(-80, 8, n),
            rng.integers(-2, 3, n),
            rng.normal(size=n),
        ]
    ).astype(np.float32)
    X[:, :3][rng.random((n, 3)) < 0.1] = np.nan
    lean = np.sign(X[:, 0]) + (X[:, 1] > 0) + (X[:, 2] == 1) + np.isnan(X[:, 2]) + X[:, 3]
    return Rows(X, (np.nan_to_num(lean) + rng.normal(size=n) > 1).astype(np.int8))


def trained(kind, **params):
    rows = awkward_rows()
    recipe = Recipe(INPUTS, {**BIG_STEPS[kind], **params}, 3)
    return kind_named(kind).fit(rows, None, recipe, ignore_epoch), rows


@pytest.mark.parametrize("kind", BOTH)
def test_no_value_on_or_beside_a_threshold_goes_the_other_way(kind):
    model, rows = trained(kind)
    content = to_onnx(model, PLAIN, INPUTS)
    tiny = np.float32([0, ZERO, -ZERO, 1e-45, -1e-45, np.inf, -np.inf, LARGEST, -LARGEST, np.nan])
    X = boundary_rows(read_forest(tree_nodes(content)[0]), len(INPUTS), 6_000)
    special = np.random.default_rng(1).choice(tiny, X.shape)
    X = np.vstack([rows.X, X, np.where(np.random.default_rng(2).random(X.shape) < 0.3, special, X)])

    difference = np.abs(Graph(content).probabilities(X) - PLAIN.probabilities(model.margins(X)))

    assert difference.max() < 2e-6


@pytest.mark.parametrize("kind", BOTH)
def test_the_same_seed_gives_the_same_bytes(kind):
    some = {"lightgbm": "feature_fraction", "xgboost": "colsample_bytree"}[kind]
    one, again = (trained(kind, **{some: 0.5})[0].dump() for _ in range(2))

    assert one == again


@pytest.mark.parametrize("kind", BOTH)
def test_the_trees_have_a_tensor_form_too(kind):
    found = tensor_form(to_onnx(trained(kind)[0], PLAIN, INPUTS))

    assert found.parity.passed, found.parity.summary()


@LIGHTGBM
def test_lightgbm_reads_a_missing_value_as_zero_where_it_learnt_of_none():
    model, _ = trained("lightgbm")
    X = np.zeros((2, 4), np.float32)
    X[1, 3] = np.nan
    graph = Graph(to_onnx(model, PLAIN, INPUTS)).probabilities(X)

    assert graph[0] == graph[1]
    assert np.ptp(model.margins(X)) == 0


def with_sets_of_categories():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 8, 400)
    return x[:, None].astype(np.float32), np.isin(x, [1, 4, 6]).astype(np.int8)


@LIGHTGBM
def test_lightgbm_s_sets_of_categories_are_refused_by_name():
    import lightgbm  # noqa: PLC0415 - see LIGHTGBM

    from modelway.training.candidates.lightgbm_trees import FittedLightGbm  # noqa: PLC0415 - see LIGHTGBM

    X, y = with_sets_of_categories()
    data = lightgbm.Dataset(X, y, categorical_feature=[0], params={"verbosity": -1})
    settings = {"objective": "binary", "verbosity": -1, "min_data_per_group": 5, "num_threads": 1}

    with pytest.raises(UnsupportedGraphError, match="tree 0 of LightGBM splits by '=='"):
        FittedLightGbm(lightgbm.train(settings, data, 2)).graph()


def test_xgboost_s_sets_of_categories_are_refused_by_name():
    X, y = with_sets_of_categories()
    matrix = xgboost.DMatrix(X, y, feature_types=["c"], enable_categorical=True, nthread=1)
    settings = {"objective": "binary:logistic", "max_cat_to_onehot": 1, "nthread": 1}

    with pytest.raises(UnsupportedGraphError, match="tree 0 of XGBoost splits by sets of categories"):
        FittedXgBoost(xgboost.train(settings, matrix, 2)).graph()


@LIGHTGBM
def test_zero_for_missing_is_refused():
    import lightgbm  # noqa: PLC0415 - see LIGHTGBM

    from modelway.training.candidates.lightgbm_trees import FittedLightGbm  # noqa: PLC0415 - see LIGHTGBM

    X = np.random.default_rng(0).integers(0, 3, (400, 1)).astype(np.float32)
    settings = {"objective": "binary", "verbosity": -1, "zero_as_missing": True, "num_threads": 1}
    data = lightgbm.Dataset(X, (X[:, 0] == 0).astype(np.int8), params=settings)

    with pytest.raises(UnsupportedGraphError, match="zero_as_missing"):
        FittedLightGbm(lightgbm.train(settings, data, 2)).graph()


def test_nothing_is_below_the_smallest_float32():
    tree = {"split_indices": [0], "left_children": [1], "right_children": [2], "default_left": [0]}

    assert _branch(0, 0, -LARGEST, tree).threshold == -np.inf
    assert _branch(0, 0, -1.5, tree).threshold == -1.5


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_a_missing_extra_is_named_with_its_command(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"modelway.training.candidates.{library}_trees", raising=False)

    with pytest.raises(ConfigError, match=f"{library}, which is not installed") as caught:
        kind_named(library)

    assert caught.value.remedy == f"pip install 'modelway[{library}]'"
