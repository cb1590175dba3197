from itertools import product

import pytest
import torch

from src.structure import Partition, patch_association
from src.synthetic.baselines import (
    associated_model,
    distractor_prob_at,
    equal_weights_rule,
    fit_generalized_linear,
    linear_rule_error,
    lowest_linear_error,
    planted_logits,
    shortcut_model,
    weighted_rule_error,
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
    margin = equal_weights_rule(distribution)(test.patches).round() * test.label
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
    mates = distribution.partition.same_set
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
    alone = SpatialDistribution(Partition.contiguous(4, 4), distribution.feature, 0.4)
    with pytest.raises(ValueError, match=r"each of the 1 sets to itself; two sets or more are needed$"):
        shortcut_model(alone)


def test_an_unknown_loss_is_refused(samples, unchecked):
    with pytest.raises(ValueError, match="loss = 'hinge': 'least_squares' or 'logistic' is needed"):
        fit_generalized_linear(samples[0].patches, samples[0].label, loss="hinge")


def test_exact_error_of_a_weighted_rule_is_the_sum_over_all_draws():
    weights, set_size, q = (3, 3, 2), 2, 0.4
    chance = {1: q / 2, -1: q / 2, 0: 1 - q}
    by_patch = [weight for weight in weights for _ in range(set_size)]
    error = 0.0
    for informative in range(3):
        own = range(informative * set_size, (informative + 1) * set_size)
        for draw in product(chance, repeat=6):
            if any(draw[i] != 1 for i in own):
                continue  # the label is +1: so are the informative patches
            probability = 1 / 3
            for i, value in enumerate(draw):
                probability *= 1 if i in own else chance[value]
            total = sum(weight * value for weight, value in zip(by_patch, draw, strict=True))
            error += probability * ((total < 0) + (total == 0) / 2)
    assert weighted_rule_error(weights, set_size, q) == pytest.approx(error, abs=1e-12)


def test_equal_weights_have_the_equal_rules_error_and_are_not_the_best():
    equal = linear_rule_error(10, 2, 0.23)
    assert weighted_rule_error([1] * 5, 2, 0.23) == pytest.approx(equal, abs=1e-12)
    assert weighted_rule_error([3, 3, 3, 3, 2], 2, 0.23) < equal - 0.005
    assert lowest_linear_error(10, 2, 0.23) <= weighted_rule_error([6, 6, 6, 6, 5], 2, 0.23)


def test_weights_without_any_weight_are_refused():
    with pytest.raises(
        ValueError, match=r"weights = \[0, 0\]: integers >= 0 are needed, one of them above 0"
    ):
        weighted_rule_error([0, 0], 2, 0.2)


def test_no_row_of_the_shortcut_has_its_own_set_among_its_top_entries_by_value(distribution):
    logits, partition = shortcut_model(distribution).attention_logits.detach(), distribution.partition
    assert (patch_association(logits, partition, by_value=True) == 0).all()
    top = logits.topk(partition.set_size, dim=-1).indices
    ahead = (partition.membership + 1) % partition.num_sets
    assert (partition.membership[top] == ahead[:, None]).all()
