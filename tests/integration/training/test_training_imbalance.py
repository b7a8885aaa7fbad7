"""Class weights and focal loss: what they are, and that calibration takes back what they do."""

import numpy as np
import polars as pl
import pytest
import torch

from modelway.contract import Candidate, Choice
from modelway.errors import ConfigError
from modelway.training.calibration import fit_calibrator
from modelway.training.candidates import KINDS, kind_named
from modelway.training.candidates.base import Recipe, Rows, ignore_epoch
from modelway.training.candidates.imbalance import sample_weights
from modelway.training.candidates.network_training import mean_loss
from modelway.training.draws import Draws, Plan
from modelway.training.encoding import encode, labels, signature_from
from modelway.training.policy import Search
from modelway.training.study import Entry

Y = np.array([1, 0, 0, 0], dtype=np.int8)
LIGHTGBM = pytest.mark.apt("libgomp1")
SMALL = {
    "hgb": {"max_iter": 15, "min_samples_leaf": 10},
    "mlp": {"epochs": 4, "batch_size": 128, "hidden": 16},
    "ft_transformer": {"epochs": 2, "batch_size": 256, "token": 8, "blocks": 1, "heads": 2},
    "lightgbm": {"num_iterations": 15, "min_data_in_leaf": 10},
    "xgboost": {"num_boost_round": 15, "min_child_weight": 2},
}


@pytest.mark.parametrize("name", ["class_weight", "focal_gamma"])
def test_losses_that_are_weighed_differently_prune_nobody(name):
    """Three trials of a loss of .1; a fourth's .6 may be no worse, where its rows weigh otherwise."""
    spaces = {"dropout": Choice(options=(0.0, 0.1))}, {name: Choice(options=(1.0, 2.0))}

    given_up = [gives_up(Candidate(kind="mlp", space=space)) for space in spaces]

    assert given_up == [True, False]


def gives_up(candidate):
    plan = Plan(candidate, trials=9, how=Search(pruner="median"))
    draws = Draws(plan, seed=1)
    for slot in range(3):
        drawn = draws.of(slot)
        drawn.asked.report(-0.1, 2)
        plan.book.enter(slot, Entry(drawn.study.tell(drawn.asked, 0.5), None))
    asked = draws.of(3).asked
    asked.report(-0.6, 2)
    return asked.should_prune()


def test_weights_by_hand():
    assert sample_weights(Y, "none") is None
    # Both classes weigh the same together, 2 of 4: the positive 2, a negative 2/3.
    np.testing.assert_allclose(sample_weights(Y, "balanced"), [2, 2 / 3, 2 / 3, 2 / 3])
    # 5 : 1, scaled to a mean of 1: 5 + 1 + 1 + 1 = 8 becomes 4.
    np.testing.assert_allclose(sample_weights(Y, 5), [2.5, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(sample_weights(Y, 1), [1, 1, 1, 1])


@pytest.mark.parametrize("said", ["heavy", 0, -1.0, float("nan"), float("inf")])
def test_what_is_no_weight_is_refused(said):
    with pytest.raises(ConfigError, match="class_weight is"):
        sample_weights(Y, said)


def test_focal_loss_by_its_formula():
    m, y = torch.tensor([2.0, -1.0, 0.5, -3.0]), torch.tensor([1.0, 1.0, 0.0, 0.0])
    weights = torch.tensor([2.0, 1.0, 0.5, 1.0])
    p = 1 / (1 + np.exp(-m.numpy()))
    p_t = np.where(y.numpy() == 1, p, 1 - p)

    for gamma in (0.0, 0.5, 2.0):
        expected = np.mean(weights.numpy() * (1 - p_t) ** gamma * -np.log(p_t))
        assert mean_loss(m, y, weights, gamma).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_the_gradient_is_that_of_the_loss_and_finite_far_out(gamma):
    m = torch.tensor([2.0, -1.0, 30.0, -30.0], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float64)

    assert torch.autograd.gradcheck(lambda z: mean_loss(z, y, torch.ones_like(y), gamma), (m,))
    far = torch.tensor([500.0, -500.0], requires_grad=True)
    mean_loss(far, torch.tensor([1.0, 0.0]), torch.ones(2), gamma).backward()
    assert torch.isfinite(far.grad).all()


WAYS = [{"class_weight": "balanced"}, {"class_weight": 20}]
FOCAL = [{"focal_gamma": 2.0, "class_weight": "balanced"}]
NETWORKS = ("mlp", "ft_transformer")
FITS = [
    pytest.param(kind, way, id=f"{kind}-{way}", marks=[LIGHTGBM] if kind == "lightgbm" else [])
    for kind in KINDS
    for way in WAYS + (FOCAL if kind in NETWORKS else [])
]


@pytest.mark.parametrize(("kind", "way"), FITS)
def test_after_calibration_the_mean_probability_is_the_base_rate(kind, way, use_case, make_loans):
    train, held_out, later = (rare(make_loans(n, seed=s)) for n, s in ((1500, 1), (1500, 2), (3000, 3)))
    signature = signature_from(use_case, train, 0.25)
    train, held_out, later = (Rows(encode(f, signature), labels(f)) for f in (train, held_out, later))
    recipe = Recipe(signature.inputs, {**SMALL.get(kind, {}), **way}, 7)
    model = kind_named(kind).fit(train, None, recipe, ignore_epoch)

    raw = 1 / (1 + np.exp(-model.margins(later.X)))
    calibrator = fit_calibrator(model.margins(held_out.X), held_out.y)
    p = calibrator.probabilities(model.margins(later.X))

    base_rate = later.y.mean()
    assert raw.mean() > 2 * base_rate  # the weights did something
    assert p.mean() == pytest.approx(base_rate, abs=4 * np.sqrt(base_rate / len(held_out.y)))


def rare(frame):
    """Every eighth positive: some 6 % of the rows."""
    positive = pl.col("label") == 1
    return frame.filter(~positive | (positive.cum_sum() % 8 == 0))
