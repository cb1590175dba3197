import pytest
import torch

from src.structure import Partition
from src.synthetic.distribution import SpatialDistribution, random_feature

N, D, C, DIM, Q = 4000, 24, 4, 16, 0.3


@pytest.fixture(scope="module")
def distribution():
    generator = torch.Generator().manual_seed(0)
    partition = Partition.random(D, C, generator=generator)
    return SpatialDistribution(partition, random_feature(DIM, generator=generator, dtype=torch.float64), Q)


@pytest.fixture(scope="module")
def sample(distribution):
    return distribution.sample(N, generator=torch.Generator().manual_seed(1))


def coefficients(distribution, sample):
    return sample.patches @ distribution.feature


def within(successes: float, trials: int, probability: float) -> bool:
    """Five standard errors of a binomial share: a false alarm once in two million."""
    return abs(successes / trials - probability) < 5 * (probability * (1 - probability) / trials) ** 0.5


def test_shapes_and_values(sample):
    assert sample.patches.shape == (N, D, DIM)
    assert set(sample.label.tolist()) == {-1.0, 1.0}
    assert set(sample.informative_set.tolist()) == set(range(D // C))


def test_informative_set_carries_the_label_exactly(distribution, sample):
    inside = distribution.partition.sets[sample.informative_set]
    carried = coefficients(distribution, sample).gather(1, inside)
    assert torch.allclose(carried, sample.label[:, None].expand(-1, C), atol=1e-12)


def test_frequencies_lie_within_binomial_bounds(distribution, sample):
    outside = distribution.partition.membership != sample.informative_set[:, None]
    drawn = coefficients(distribution, sample).round()[outside]
    assert within((drawn == 1).sum().item(), len(drawn), Q / 2)
    assert within((drawn == -1).sum().item(), len(drawn), Q / 2)
    assert within((sample.label == 1).sum().item(), N, 0.5)
    for index in range(D // C):
        assert within((sample.informative_set == index).sum().item(), N, C / D)


def test_noise_is_orthogonal_to_the_feature_with_variance_one_over_d(distribution, sample):
    coefficient = coefficients(distribution, sample)
    assert (coefficient - coefficient.round()).abs().max() < 1e-12
    noise = sample.patches - coefficient[:, :, None] * distribution.feature
    covariance = noise.flatten(0, 1).T @ noise.flatten(0, 1) / (N * D)
    expected = (
        torch.eye(DIM, dtype=torch.float64) - torch.outer(distribution.feature, distribution.feature)
    ) / DIM
    # An entry's standard error is at most sqrt(2) / (DIM sqrt(N D)): six of them.
    assert (covariance - expected).abs().max() < 6 * 2**0.5 / (DIM * (N * D) ** 0.5)


def test_labelling_function_follows_its_definition(distribution, sample):
    projected = coefficients(distribution, sample)[:200]
    predicted = distribution.labelling_function(sample.patches[:200])
    for row, value in zip(projected.tolist(), predicted.tolist(), strict=True):
        total = 0.0
        for patches in distribution.partition.sets.tolist():
            z = sum(row[i] for i in patches)
            total += round(z) if abs(z) >= 0.9 * C else 0
        assert value == (total > 0) - (total < 0)


def test_labelling_function_recovers_the_label_up_to_the_union_bound(distribution, sample):
    errors = (distribution.labelling_function(sample.patches) != sample.label).sum().item()
    bound = (D // C - 1) * (Q / 2) ** C
    assert errors / N < bound + 5 * (bound / N) ** 0.5


def test_without_distractors_everything_is_right(distribution):
    clean = SpatialDistribution(distribution.partition, distribution.feature, 0.0, 0.0)
    sample = clean.sample(50)
    assert torch.equal(clean.labelling_function(sample.patches), sample.label)
    assert (sample.patches.norm(dim=-1).count_nonzero(1) == C).all()


def test_same_generator_same_sample_and_dtype_of_the_feature():
    partition = Partition.contiguous(8, 2)
    for dtype in (torch.float32, torch.float64):
        made = SpatialDistribution(
            partition, random_feature(5, generator=torch.Generator().manual_seed(3), dtype=dtype), 0.5
        )
        first, second = (made.sample(7, generator=torch.Generator().manual_seed(4)) for _ in range(2))
        assert torch.equal(first.patches, second.patches) and torch.equal(first.label, second.label)
        assert first.patches.dtype == first.label.dtype == dtype


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"distractor_prob": 1.5}, r"distractor_prob = 1.5: a share from 0 to 1 is needed; the nearest: 1"),
        ({"distractor_prob": -0.1}, r"distractor_prob = -0.1: a share from 0 to 1 is needed; the nearest: 0"),
        ({"noise_std": -1.0}, "noise_std = -1.0: a number >= 0 is needed; the nearest: 0.0"),
        ({"feature": torch.ones(4)}, "feature has norm 2; a unit vector is needed"),
    ],
)
def test_wrong_input_is_one_clear_line(change, text):
    arguments = {
        "partition": Partition.contiguous(4, 2),
        "feature": random_feature(4),
        "distractor_prob": 0.5,
    }
    with pytest.raises(ValueError, match=text):
        SpatialDistribution(**{**arguments, **change})


def test_an_empty_sample_is_refused(distribution):
    with pytest.raises(ValueError, match="n = 0: at least 1 sample is needed"):
        distribution.sample(0)


def test_a_set_short_of_full_does_not_count(distribution):
    coefficient = torch.zeros(3, D, dtype=torch.float64)
    first, second = distribution.partition.sets[:2]
    coefficient[0, first[:3]] = 1  # three of four
    coefficient[1, first] = 1
    coefficient[2, first], coefficient[2, second] = 1, -1  # full sets that cancel
    patches = coefficient[:, :, None] * distribution.feature
    assert distribution.labelling_function(patches).tolist() == [0, 1, 0]
