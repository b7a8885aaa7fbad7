import json

import numpy as np
import pytest

from modelway.errors import ConfigError, SnapshotCorruptError
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import Recipe, Rows, ignore_epoch
from modelway.training.encoding import encode, labels, signature_from

TREES = {
    "max_iter": 12,
    "max_features": 0.5,
    "min_samples_leaf": 10,
    "max_leaf_nodes": 6,
    "class_weight": "balanced",
}
LINE = {"C": 0.05, "class_weight": "balanced"}
UNLIMITED = {"positives_per_leaf": 0, "positives_per_round": 0, "line_until_positives": 0}


@pytest.fixture
def task(use_case, make_loans):
    rows = make_loans(600, seed=1)
    signature = signature_from(use_case, rows, 0.25)
    return signature.inputs, Rows(encode(rows, signature), labels(rows))


def fitted(kind, task, params, seed=3):
    inputs, rows = task
    return kind_named(kind).fit(rows, None, Recipe(inputs, params, seed), ignore_epoch)


def margins(kind, task, params, seed=3):
    return fitted(kind, task, params, seed).margins(task[1].X)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_it_is_the_weighted_mean_of_the_two_kinds_fitted_alone(share, task):
    trees, line = margins("hgb", task, TREES), margins("logistic", task, {**LINE, "rounds": 4})

    alone = {**UNLIMITED, "members": 1, "line_rounds": 4, "line_share": share}
    found = margins("blend", task, {**TREES, **LINE, **alone})

    np.testing.assert_allclose(found, (1 - share) * trees + share * line, rtol=1e-12)
    assert np.abs(trees - line).max() > 0.1


def test_members_double_in_leaves_and_weigh_the_same(task):
    sizes = [{**TREES, "max_leaf_nodes": leaves} for leaves in (3, 6, 12)]
    alone = [margins("hgb", task, params, seed=3 + number) for number, params in enumerate(sizes)]

    found = margins("blend", task, {**sizes[0], **UNLIMITED, "members": 3, "line_share": 0})

    np.testing.assert_allclose(found, np.mean(alone, axis=0), rtol=1e-12)
    assert np.abs(alone[0] - alone[2]).max() > 0.1


@pytest.mark.parametrize(("until", "part"), [(0, 1.0), (10_000, 1.0), (50, 50 / 200), (1, 1 / 200)])
def test_the_lines_share_falls_with_the_positives(until, part, task):
    inputs, rows = task
    y = np.zeros(len(rows.y), dtype=np.int8)
    y[:200] = 1

    made = fitted(
        "blend", (inputs, Rows(rows.X, y)), {**TREES, "line_share": 0.4, "line_until_positives": until}
    )

    assert made.line_share == pytest.approx(0.4 * part)


def test_bytes_of_something_else_are_refused_by_name(task):
    inputs, rows = task
    params = {**TREES, "line_share": 0.5}
    content = kind_named("blend").fit(rows, None, Recipe(inputs, params, 3), ignore_epoch).dump()
    stored = json.loads(content)

    damaged = [json.dumps({**stored, "trees": trees}).encode() for trees in (["%"], [], None, 7)]
    for broken in (b"{", b"[]", stored["line"].encode(), *damaged):
        with pytest.raises(SnapshotCorruptError, match="no blend"):
            kind_named("blend").load(broken)


def test_a_hyper_parameter_of_neither_is_refused(task):
    with pytest.raises(ConfigError, match="blend has no hyper-parameter num_leaves"):
        margins("blend", task, {"num_leaves": 4})


@pytest.mark.parametrize("share", [-0.1, 1.5, "half", True, float("nan")])
def test_a_share_that_is_none_is_refused(share, task):
    with pytest.raises(ConfigError, match="line_share"):
        margins("blend", task, {**TREES, "line_share": share})


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("positives_per_leaf", -1),
        ("positives_per_leaf", 0.5),
        ("positives_per_round", "two"),
        ("line_until_positives", -5),
        ("members", 0),
        ("members", True),
        ("members", float("inf")),
        ("max_leaf_nodes", 1),
        ("max_iter", "many"),
    ],
)
def test_a_count_that_is_none_is_refused(name, count, task):
    with pytest.raises(ConfigError, match=f"{name} of blend is {count!r}"):
        margins("blend", task, {**TREES, name: count})


@pytest.mark.parametrize(
    ("prices", "rounds", "leaves"),
    [
        pytest.param({"positives_per_leaf": 20, "positives_per_round": 2}, 100, 10, id="both-cut"),
        pytest.param(
            {"positives_per_leaf": 90, "positives_per_round": 9}, 80, 4, id="no-fewer-than-the-fewest"
        ),
        pytest.param({"positives_per_leaf": 0, "positives_per_round": 0}, 120, 12, id="no-limit"),
        pytest.param({"positives_per_leaf": 1, "positives_per_round": 1}, 120, 12, id="enough-for-all"),
    ],
)
def test_trees_are_cut_to_what_the_positives_pay_for(prices, rounds, leaves, task):
    inputs, rows = task
    y = np.zeros(len(rows.y), dtype=np.int8)
    y[np.argsort(np.nan_to_num(rows.X[:, 0]))[:200]] = 1
    params = {"max_iter": 120, "max_leaf_nodes": 12, "min_samples_leaf": 1, "members": 1, **prices}

    made = kind_named("blend").fit(Rows(rows.X, y), None, Recipe(inputs, params, 3), ignore_epoch)

    assert made.rounds == rounds
    assert max(tree[0].get_n_leaf_nodes() for tree in made.trees.members[0].model._predictors) == leaves
