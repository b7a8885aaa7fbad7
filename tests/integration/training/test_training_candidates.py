import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from modelway.errors import ConfigError, SnapshotCorruptError
from modelway.stats.ranking import roc_auc
from modelway.training.candidates import KINDS, kind_named
from modelway.training.candidates.base import Recipe, Rows, ignore_epoch
from modelway.training.candidates.ft_transformer import Block
from modelway.training.candidates.tree_nodes import float32_below
from modelway.training.encoding import encode, labels, signature_from

SMALL = {
    "hgb": {"max_iter": 15, "min_samples_leaf": 10},
    "mlp": {"epochs": 4, "batch_size": 64, "hidden": 16},
    "ft_transformer": {"epochs": 2, "batch_size": 128, "token": 8, "hidden": 8, "learning_rate": 3e-2},
    "logistic": {},
    "blend": {"max_iter": 15, "min_samples_leaf": 10},
    "lightgbm": {"num_iterations": 15, "min_data_in_leaf": 10},
    "xgboost": {"num_boost_round": 15, "min_child_weight": 2},
}
EVERY_KIND = [pytest.param(k, marks=pytest.mark.apt("libgomp1")) if k == "lightgbm" else k for k in KINDS]


@pytest.fixture
def task(use_case, make_loans):
    train, validation = make_loans(900, seed=1), make_loans(300, seed=2)
    signature = signature_from(use_case, train, 0.25)
    parts = [Rows(encode(f, signature), labels(f)) for f in (train, validation)]
    return signature.inputs, *parts


def fitted(kind, task, *, seed=7, on_epoch=ignore_epoch, validate=True, **params):
    inputs, train, validation = task
    recipe = Recipe(inputs, {**SMALL[kind], **params}, seed)
    return kind_named(kind).fit(train, validation if validate else None, recipe, on_epoch)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_kind_learns_what_is_there(kind, task):
    validation = task[2]

    assert roc_auc(validation.y, fitted(kind, task).margins(validation.X)) > 0.7


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_both_losses_are_reported_for_every_round(kind, task):
    epochs = []
    fitted(kind, task, on_epoch=epochs.append)

    assert [epoch.number for epoch in epochs] == list(range(1, len(epochs) + 1))
    assert epochs[-1].train_loss < epochs[0].train_loss
    assert all(np.isfinite(epoch.validation_loss) for epoch in epochs)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_stored_model_answers_bit_for_bit_the_same(kind, task):
    model = fitted(kind, task)
    again = kind_named(kind).load(model.dump())

    np.testing.assert_array_equal(model.margins(task[2].X), again.margins(task[2].X))
    assert again.rounds == model.rounds


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_rows_that_hold_nothing_or_everything_get_a_finite_answer(kind, task):
    X = task[2].X
    odd = np.stack([np.full(X.shape[1], v, dtype=np.float32) for v in (np.nan, 0)])
    extreme = np.repeat(X[:1], 4, axis=0)
    extreme[:, 0] = [np.inf, -np.inf, 3.4e38, -3.4e38]

    assert np.isfinite(fitted(kind, task).margins(np.vstack([odd, extreme]))).all()


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_column_empty_in_these_rows_alone_is_survived(kind, task):
    inputs, train, validation = task
    X = train.X.copy()
    X[:, 1] = np.nan

    model = fitted(kind, (inputs, Rows(X, train.y), validation))

    assert np.isfinite(model.margins(validation.X)).all()


def test_scikit_learn_still_dies_on_an_empty_column(task):
    # Should this ever pass, `_without_empty` can go.
    X = task[1].X.copy()
    X[:, 1] = np.nan

    with threadpool_limits(limits=1), pytest.raises(ValueError, match="window shape"):
        HistGradientBoostingClassifier().fit(X, task[1].y)


def test_the_network_keeps_the_epoch_with_the_lowest_validation_loss(task):
    epochs = []
    model = fitted("mlp", task, on_epoch=epochs.append, epochs=30, patience=2, learning_rate=0.05)
    best = min(epochs, key=lambda epoch: epoch.validation_loss)

    assert model.rounds == best.number
    assert epochs[-1].number == best.number + 2
    validation = task[2]
    margins = model.margins(validation.X)
    loss = np.mean(np.logaddexp(0, margins) - validation.y * margins)
    assert loss == pytest.approx(best.validation_loss, rel=1e-5)


def test_the_seed_alone_decides_and_pytorch_gets_its_own_state_back(task):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    a, b, c = (fitted("mlp", task, seed=s).margins(task[2].X) for s in (1, 1, 2))

    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_unknown_category_nobody_trained_on_adds_nothing(task):
    model = fitted("mlp", task, epochs=1)
    table = model.network.table.weight.detach().numpy()
    state_unknown = model.network.scaling.offsets[1] - 1

    assert model.network.scaling.sizes == [3, 2]
    assert np.abs(table[state_unknown]).max() < 0.1


@pytest.mark.parametrize("content", [b"", b"not a network", b"PK\x03\x04", b"\xff\xfe"])
@pytest.mark.parametrize("kind", [kind for kind in EVERY_KIND if kind != "hgb"])
def test_bytes_that_are_no_model_are_refused(kind, content):
    with pytest.raises(SnapshotCorruptError, match="bytes hold no"):
        kind_named(kind).load(content)


@pytest.mark.parametrize(
    ("value", "below"),
    [
        pytest.param(0.5, 0.5, id="exact"),
        pytest.param(0.1, 0.09999999403953552, id="nearest-is-above"),
        pytest.param(float("inf"), float("inf"), id="infinite"),
        pytest.param(-0.1, -0.10000000149011612, id="negative"),
    ],
)
def test_a_threshold_is_rounded_down(value, below):
    assert float32_below(value) == below


@pytest.mark.parametrize("odd", [{"token": 10, "heads": 4}, {"blocks": 0}])
def test_a_transformer_that_cannot_be_built_is_a_configuration_error(task, odd):
    with pytest.raises(ConfigError, match="heads"):
        fitted("ft_transformer", task, **odd)


def test_the_last_block_answers_for_its_cls_token_what_a_whole_block_would():
    torch.manual_seed(0)
    block = Block({"token": 8, "hidden": 6, "heads": 2, "dropout": 0.0}, is_first=False, is_last=False)
    x = torch.randn(5, 4, 8)
    whole = block(x)
    block.is_last = True

    torch.testing.assert_close(block(x), whole[:, :1])
