import pytest
import torch

from src.structure import Partition
from src.synthetic.distribution import random_feature
from src.synthetic.gaussian import GaussianDistribution


def distribution(linear: float) -> GaussianDistribution:
    generator = torch.Generator().manual_seed(0)
    return GaussianDistribution(Partition.blocks(4, 4, 2), random_feature(6, generator=generator), linear)


def test_the_patches_are_standard_normal_and_independent():
    patches = distribution(4.0).sample(20_000, generator=torch.Generator().manual_seed(1)).patches.flatten(1)
    covariance = patches.T @ patches / len(patches)
    assert (covariance - torch.eye(patches.shape[1])).abs().max() < 5 * (2 / len(patches)) ** 0.5


def test_the_label_is_the_sign_of_the_cubic_network_written_out():
    task = distribution(4.0)
    sample = task.sample(50, generator=torch.Generator().manual_seed(2))
    for patches, label in zip(sample.patches, sample.label, strict=True):
        sums = [sum(float(patches[i] @ task.feature) for i in own) for own in task.partition.sets.tolist()]
        total = sum(s**3 + 4 * s for s in sums)
        assert label == (1 if total > 0 else -1)


@pytest.mark.parametrize(("linear", "error"), [(4.0, 0.066), (0.0, 0.095)])
def test_a_rule_that_weighs_all_patches_alike_errs_as_the_notes_say(linear, error):
    task = distribution(linear)
    sample = task.sample(40_000, generator=torch.Generator().manual_seed(3))
    wrong = (sample.patches @ task.feature).sum(-1).sign() != sample.label
    assert wrong.double().mean().item() == pytest.approx(error, abs=5 * (error / 40_000) ** 0.5)


def test_wrong_input_is_one_clear_line():
    with pytest.raises(ValueError, match=r"linear = -1\.0: a number >= 0 is needed; the nearest: 0\.0"):
        distribution(-1.0)
    with pytest.raises(ValueError, match="n = 0: at least 1 sample is needed"):
        distribution(4.0).sample(0)
