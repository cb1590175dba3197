from itertools import product

import pytest
import torch

from src.structure import Partition, patch_association
from src.synthetic.baselines import (
    associated_model,
    best_linear_rule,
    distractor_prob_at,
    fit_generalized_linear,
    linear_rule_error,
    planted_logits,
    shortcut_model,
)
from src.synthetic.distribution import SpatialDistribution, random_feature
from src.synthetic.transfer import accuracy_on


@pytest.fixture(scope="module")
def distribution():
    generator = torch.Generator().manual_seed(0)
    partition = Partition.random(32, 4, generator=generator)
    return SpatialDistribution(partition, random_feature(8, generator=generator), 0.4)


@pytest.fixture(scope="module")
def samples(distribution):
    generator = torch.Generator().manual_seed(1)
    return distribution.sample(3000, generator=generator), distribution.sample(3000, generator=generator)


def test_exact_error_of_the_linear_rule_is_the_sum_over_all_draws():
    num_patches, set_size, q = 7, 2, 0.6
    chance = {1: q / 2, -1: q / 2, 0: 1 - q}
    error = 0.0
    for draw in product(chance, repeat=num_patches - set_size):
        probability = 1.0
        for value in draw:
            probability *= chance[value]
        total = set_size + sum(draw)
        error += probability * ((total < 0) + (total == 0) / 2)
    assert linear_rule_error(num_patches, set_size, q) == pytest.approx(error, abs=1e-12)


def test_exact_error_is_near_the_normal_approximation_where_the_task_is_hard():
    approximation = torch.distributions.Normal(0, 1).cdf(torch.tensor(-8 / (0.3 * 248) ** 0.5)).item()
    assert linear_rule_error(256, 8, 0.3) == pytest.approx(approximation, abs=0.01)


@pytest.mark.parametrize("num_patches", [16, 64, 256])
def test_the_distractor_probability_gives_the_linear_error_that_was_asked_for(num_patches):
    q = distractor_prob_at(0.118, num_patches, 4)
    assert linear_rule_error(num_patches, 4, q) == pytest.approx(0.118, abs=1e-9)


def test_a_linear_error_out_of_reach_is_refused():
    with pytest.raises(
        ValueError, match=r"linear_error = 0.5: a number in \(0, 0\.\d+\) is needed for num_p"
    ):
        distractor_prob_at(0.5, 32, 4)


@pytest.mark.parametrize("loss", ["least_squares", "logistic"])
def test_fitted_linear_rules_learn_something_but_err_in_the_hard_regime(samples, loss):
    train, test = samples
    accuracy = accuracy_on(
        fit_generalized_linear(train.patches, train.label, loss=loss), test.patches, test.label
    )
    assert 0.75 < accuracy < 0.9


def test_the_rule_along_the_feature_has_the_exact_error(distribution, samples):
    _, test = samples
    margin = best_linear_rule(distribution)(test.patches).round() * test.label
    measured = ((margin < 0).double() + (margin == 0).double() / 2).mean().item()
    exact = linear_rule_error(32, 4, 0.4)
    assert abs(measured - exact) < 5 * (exact * (1 - exact) / 3000) ** 0.5


def test_the_shortcut_predicts_like_the_associated_model_without_association(distribution, samples):
    _, test = samples
    shortcut, associated = shortcut_model(distribution), associated_model(distribution)
    with torch.no_grad():
        assert torch.allclose(shortcut(test.patches), associated(test.patches), rtol=1e-4, atol=1e-2)
    assert accuracy_on(shortcut, test.patches, test.label) > 0.98
    association = patch_association(shortcut.attention_logits.detach(), distribution.partition)
    assert (association == 1 / 4).all()  # the diagonal alone
    mates = distribution.partition.membership[:, None] == distribution.partition.membership
    assert (shortcut.attention * mates).sum() < 1e-6


def test_oracle_logits_are_associated_and_hold_the_diagonal(distribution):
    logits = planted_logits(distribution.partition, diagonal=0.5)
    assert (patch_association(logits, distribution.partition) == 1).all()
    assert (logits.diagonal() == 0.5).all()


def test_a_shortcut_to_oneself_is_refused(distribution):
    with pytest.raises(
        ValueError, match="shift = 8 sends each of the 8 sets to itself; the nearest that does not: 1"
    ):
        shortcut_model(distribution, shift=8)


def test_an_unknown_loss_is_refused(samples, unchecked):
    with pytest.raises(ValueError, match="loss = 'hinge': 'least_squares' or 'logistic' is needed"):
        fit_generalized_linear(samples[0].patches, samples[0].label, loss="hinge")
