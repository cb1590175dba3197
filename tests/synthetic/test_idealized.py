import pytest
import torch
from torch.nn.functional import softplus

from src.structure import Partition
from src.synthetic.distribution import SpatialDistribution, random_feature
from src.synthetic.idealized import (
    IdealizedModel,
    all_patterns,
    count_patterns,
    idealized_descent,
    sample_counts,
)
from src.synthetic.model import PositionalAttentionModel
from src.synthetic.realistic import DivergenceError

D, C, Q = 16, 4, 0.4


def test_patterns_are_all_the_splits():
    patterns = all_patterns(C)
    assert patterns.shape == ((C + 1) * (C + 2) // 2, 3)
    assert (patterns.sum(1) == C).all() and len(patterns.unique(dim=0)) == len(patterns)


@pytest.mark.parametrize("state", [(0.05, 0.0, 0.0), (0.08, 1.5, -0.4), (0.03, 5.0, -0.3)])
def test_the_three_gradients_are_autograds_through_the_full_model_on_the_same_sample(state):
    generator = torch.Generator().manual_seed(0)
    partition = Partition.random(D, C, generator=generator)
    feature = random_feature(9, generator=generator, dtype=torch.float64)
    sample = SpatialDistribution(partition, feature, Q).sample(500, generator=generator)

    numbers = torch.tensor(state, dtype=torch.float64, requires_grad=True)
    alpha, gamma, rho = numbers
    same = partition.same_set
    full = PositionalAttentionModel(D, 9, diagonal=0.8, dtype=torch.float64)
    filled = {"value_vector": alpha * feature, "attention_logits": torch.where(same, gamma, rho)}
    margin = sample.label * torch.func.functional_call(full, filled, sample.patches)
    loss = softplus(-margin).mean()
    expected = torch.autograd.grad(loss, numbers)[0]

    counts = count_patterns(sample, partition, feature)
    fast = IdealizedModel(D, C, diagonal=0.8).loss_and_gradient(counts, numbers.detach())
    # The same sample, so no Monte Carlo error is left: both agree to rounding.
    assert fast[0].item() == pytest.approx(loss.item(), rel=1e-10)
    undecided = (margin.abs() < 1e-12).double().mean().item()  # rounding decides these
    assert abs(fast[1].item() - (margin > 0).double().mean().item()) <= undecided
    assert torch.allclose(fast[2], expected, rtol=1e-9, atol=1e-12)


def test_counts_have_the_distributions_law():
    generator = torch.Generator().manual_seed(1)
    partition = Partition.contiguous(D, C)
    feature = random_feature(3, generator=generator, dtype=torch.float64)
    drawn = SpatialDistribution(partition, feature, Q).sample(20_000, generator=generator)
    slow = count_patterns(drawn, partition, feature)
    fast = sample_counts(D, C, Q, 20_000, generator=generator)
    assert (fast.counts.sum(1) == D // C).all() and (fast.counts >= 0).all()
    for sign in (-1, 1):
        means = [each.counts[each.label == sign].mean(0) for each in (slow, fast)]
        # Two means over about 10,000 counts whose variance is below 1: six standard errors.
        assert (means[0] - means[1]).abs().max() < 6 * (2 / 10_000) ** 0.5


def test_descent_separates_gamma_from_rho_and_generalizes():
    trajectory = idealized_descent(
        32, 4, 0.4, lr_value=1e-3, lr_attention=50.0, steps=300, generator=torch.Generator().manual_seed(2)
    )
    assert len(trajectory.alpha) == 301
    assert trajectory.gamma[-1] - trajectory.rho[-1] > 3
    assert trajectory.accuracy[-20:].mean() > trajectory.accuracy[:5].mean() + 0.08


def test_without_a_diagonal_nothing_tells_the_own_set_from_another():
    trajectory = idealized_descent(
        32, 4, 0.4, diagonal=0.0, steps=100, generator=torch.Generator().manual_seed(3)
    )
    assert (trajectory.gamma - trajectory.rho).abs().max() < 1e-12
    assert trajectory.alpha[-1] > 0.01


def test_same_generator_same_trajectory():
    first, second = (
        idealized_descent(16, 4, 0.4, steps=20, generator=torch.Generator().manual_seed(4)) for _ in range(2)
    )
    assert torch.equal(first.gamma, second.gamma) and torch.equal(first.loss, second.loss)


def test_divergence_keeps_the_trajectory():
    with pytest.raises(
        DivergenceError, match=r"at step \d+ with lr_value = 1e\+200 and lr_attention = 50"
    ) as caught:
        idealized_descent(16, 4, 0.4, lr_value=1e200, lr_attention=50.0, steps=50)
    assert 1 < len(caught.value.trajectory.loss) < 51


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"set_size": 5}, "set_size = 5 does not divide num_patches = 16; the nearest that does: 4"),
        ({"distractor_prob": 2.0}, r"distractor_prob = 2.0: a share from 0 to 1 is needed"),
        ({"degree": 2}, "degree = 2: an odd integer >= 3 is needed"),
        ({"num_samples": 0}, "num_samples = 0: an integer >= 1 is needed"),
        ({"steps": -3}, "steps = -3: an integer >= 1 is needed"),
    ],
)
def test_wrong_settings_are_refused(change, text):
    settings = {"num_patches": 16, "set_size": 4, "distractor_prob": 0.4, "steps": 2}
    with pytest.raises(ValueError, match=text):
        idealized_descent(**{**settings, **change})
