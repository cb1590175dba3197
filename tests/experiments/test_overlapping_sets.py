"""What `overlapping-sets` measures: planted similarities are found, a slow count agrees."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from src.experiments import overlapping as study
from src.experiments.study_settings import OverlappingSettings
from src.synthetic.overlapping import OverlappingSets, random_sets
from src.synthetic.realistic import Trajectory


@pytest.fixture
def sets() -> OverlappingSets:
    member = random_sets(9, 10, 2, 6, generator=torch.Generator().manual_seed(3))
    return OverlappingSets(member, torch.eye(4)[0], 0.3)


def course(*logits: torch.Tensor) -> Trajectory:
    zeros = torch.zeros(len(logits))
    return Trajectory([*range(len(logits))], zeros, zeros, torch.stack(logits), torch.zeros(len(logits), 4))


def test_the_correlation_is_over_pairs_of_patches_and_one_for_the_counts_themselves(sets):
    counts = sets.co_membership()
    other = torch.randn(10, 10, generator=torch.Generator().manual_seed(4))
    plain, weighted = study._correlations(course(counts, other), sets)
    assert plain[0] == pytest.approx(1.0) and weighted[0] < 1
    pairs = [(i, j) for i in range(10) for j in range(i)]
    expected = spearmanr(
        [(other[i, j] + other[j, i]).item() for i, j in pairs], [counts[i, j].item() for i, j in pairs]
    ).statistic
    assert plain[1] == pytest.approx(expected, abs=1e-6)
    by_size = sets.co_membership(1 / sets.member.sum(1).float())
    assert study._correlations(course(by_size), sets)[1][0] == pytest.approx(1.0)


def test_ties_leave_the_most_that_can_be_reached_below_one(sets):
    most = study._ceiling(sets)
    assert 0.8 < most < 1
    jitter = 1e-3 * torch.rand(10, 10, generator=torch.Generator().manual_seed(5))
    plain, _ = study._correlations(course(sets.co_membership() + jitter), sets)
    assert plain[0] == pytest.approx(most, abs=0.03)


def test_the_permutation_test_tells_counts_from_noise(sets):
    assert study._permutation_p(sets.co_membership(), sets, 0) == 1 / 1000
    noise = torch.randn(20, 10, 10, generator=torch.Generator().manual_seed(6))
    chances = [study._permutation_p(each, sets, 0, index) for index, each in enumerate(noise)]
    assert min(chances) > 0.001 and 0.3 < np.mean(chances) < 0.7


def test_a_descent_learns_which_patches_share_sets():
    few = {"num_seeds": 2, "num_patches": 8, "num_sets": 4, "largest": 4, "patch_dim": 6, "num_samples": 1500}
    measured = study.run(OverlappingSettings(**few, num_test=500, steps=100))
    for arm in study.ARMS:
        assert np.mean(measured.metrics[f"spearman_{arm}"]) > 0.4
        assert measured.arrays[f"spearman_{arm}"].shape == (2, 11)
    assert np.mean(measured.metrics["accuracy_overlapping"]) > 0.9
    assert measured.metrics["weighted_lead_overlapping"] == pytest.approx([0, 0])  # all sizes are one


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"largest": 17}, "largest = 17: at most num_patches = 16 is needed"),
        ({"smallest": 9}, "smallest = 9: at most largest = 8 is needed"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        OverlappingSettings(**changes)
