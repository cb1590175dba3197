"""Sets that overlap: who carries the label, who shares what, and that a partition is the special case."""

import pytest
import torch

from src.structure import Partition
from src.synthetic.distribution import SpatialDistribution
from src.synthetic.overlapping import OverlappingSets, random_sets

FEATURE = torch.eye(6, dtype=torch.float64)[2]
MEMBER = torch.tensor([[1, 1, 1, 0, 0], [0, 0, 1, 1, 0], [1, 1, 0, 0, 0]], dtype=torch.bool)


def drawn(n: int, *, distractor_prob: float = 0.3, miss_prob: float = 0.0):
    sets = OverlappingSets(MEMBER, FEATURE, distractor_prob, miss_prob)
    sample = sets.sample(n, generator=torch.Generator().manual_seed(0))
    return sample, sample.patches @ FEATURE


def test_patches_of_the_drawn_set_carry_the_label_and_the_others_a_distractor_or_nothing():
    sample, carried = drawn(4000)
    inside = MEMBER[sample.informative_set]
    assert torch.allclose(carried[inside], sample.label[:, None].expand_as(carried)[inside])
    outside = carried[~inside].round(decimals=9)
    assert set(outside.abs().tolist()) == {0.0, 1.0}
    assert (outside == 1).double().mean() == pytest.approx(0.15, abs=0.015)
    assert (outside == -1).double().mean() == pytest.approx(0.15, abs=0.015)


def test_a_patch_that_misses_is_one_like_any_outside():
    sample, carried = drawn(4000, distractor_prob=0.0, miss_prob=0.25)
    inside = carried[MEMBER[sample.informative_set]].abs()
    assert (inside < 0.5).double().mean() == pytest.approx(0.25, abs=0.02)


def test_sets_and_labels_are_even():
    sample, _ = drawn(6000)
    shares = torch.bincount(sample.informative_set) / 6000
    assert torch.allclose(shares, torch.full((3,), 1 / 3), atol=0.025)
    assert sample.label.mean().abs() < 0.05


def test_disjoint_sets_give_the_moments_of_the_partitions_own_distribution():
    partition = Partition.contiguous(6, 3)
    member = torch.stack([partition.membership == index for index in range(2)])
    generator = torch.Generator().manual_seed(1)
    both = (SpatialDistribution(partition, FEATURE, 0.4), OverlappingSets(member, FEATURE, 0.4))
    moments = []
    for each in both:
        sample = each.sample(20_000, generator=generator)
        flat = (sample.label[:, None, None] * sample.patches).flatten(1)
        moments.append((flat.mean(0), flat.T @ flat / len(flat)))
    for ours, theirs in zip(*moments, strict=True):
        assert torch.allclose(ours, theirs, atol=0.03)


def test_co_membership_counts_the_sets_of_a_pair():
    counts = OverlappingSets(MEMBER, FEATURE, 0.3).co_membership()
    for i in range(5):
        for j in range(5):
            assert counts[i, j] == sum(bool(row[i] and row[j]) for row in MEMBER)
    weight = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    assert OverlappingSets(MEMBER, FEATURE, 0.3).co_membership(weight)[0, 1] == 101


def test_random_sets_have_sizes_within_the_bounds_and_no_patch_twice():
    member = random_sets(500, 7, 2, 5, generator=torch.Generator().manual_seed(2))
    sizes = member.sum(1)
    assert (sizes.min(), sizes.max()) == (2, 5)
    assert torch.bincount(sizes, minlength=6)[2:].min() > 80
    assert member.double().mean(0).sub(0.5).abs().max() < 0.06


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"member": torch.zeros(1, 3, dtype=torch.bool)}, "a set without patches"),
        ({"feature": 2 * FEATURE}, "a unit vector is needed"),
        ({"distractor_prob": 1.5}, r"distractor_prob = 1.5: a share from 0 to 1 is needed"),
        ({"miss_prob": -0.1}, r"miss_prob = -0.1: a share from 0 to 1 is needed"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        OverlappingSets(**{"member": MEMBER, "feature": FEATURE, "distractor_prob": 0.3} | change)
