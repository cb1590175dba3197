import pytest
import torch

from src.structure import Partition
from src.synthetic.baselines import planted_logits
from src.synthetic.distribution import SpatialDistribution, random_feature
from src.synthetic.transfer import Arm, Descent, accuracy_on, learn_downstream, transfer_curve


@pytest.fixture(scope="module")
def arms():
    generator = torch.Generator().manual_seed(0)
    partition, other = (Partition.random(32, 4, generator=generator) for _ in range(2))
    feature = random_feature(12, generator=generator)
    same = SpatialDistribution(partition, feature, 0.4)
    oracle = planted_logits(partition)
    return {
        "oracle": Arm(same, oracle),
        "scratch": Arm(same, None),
        "other_partition": Arm(SpatialDistribution(other, feature, 0.4), oracle),
    }


DESCENT = Descent(steps=100, lr_value=1e-3, lr_attention=50.0)


def test_kept_attention_needs_few_samples_and_only_on_its_own_partition(arms):
    curve = transfer_curve([arms, arms], [10, 30], DESCENT, seed=0, num_test=1500)
    assert curve.accuracy["oracle"].shape == (2, 2)
    assert curve.accuracy["oracle"].min() > 0.95
    assert curve.accuracy["other_partition"].mean() < 0.9
    assert curve.accuracy["scratch"][:, 0].mean() < 0.9


def test_same_seed_same_curve(arms):
    first, second = (transfer_curve([arms], [5, 10], DESCENT, seed=3, num_test=200) for _ in range(2))
    assert all(torch.equal(first.accuracy[name], second.accuracy[name]) for name in arms)


def test_kept_attention_is_not_touched_and_scratch_attention_is_learned(arms):
    sample = arms["oracle"].distribution.sample(50, generator=torch.Generator().manual_seed(1))
    for name in ("oracle", "scratch"):
        model, _ = learn_downstream(
            arms[name], sample.patches, sample.label, DESCENT, generator=torch.Generator().manual_seed(2)
        )
        kept = arms[name].attention_logits
        if kept is not None:
            assert torch.equal(model.attention_logits.detach(), kept)
        else:
            assert model.attention_logits[~model.on_diagonal].std() > 0.01


def test_a_diverging_descent_is_retried_with_smaller_steps_and_counted(arms):
    sample = arms["scratch"].distribution.sample(50, generator=torch.Generator().manual_seed(1))
    wild = Descent(steps=60, lr_value=0.05, lr_attention=2000.0)
    model, retries = learn_downstream(
        arms["scratch"], sample.patches, sample.label, wild, generator=torch.Generator().manual_seed(2)
    )
    assert retries >= 1
    assert model.value_vector.isfinite().all()


def test_sample_sizes_must_be_there(arms):
    with pytest.raises(ValueError, match=r"sample_sizes = \[0\]: at least one size, each >= 1, is needed"):
        transfer_curve([arms], [0], DESCENT, seed=0)


def test_a_retry_is_the_descent_with_both_step_sizes_a_third_from_the_same_start():
    generator = torch.Generator().manual_seed(0)
    distribution = SpatialDistribution(
        Partition.random(32, 4, generator=generator), random_feature(12, generator=generator), 0.4
    )
    arm, sample = Arm(distribution, None), distribution.sample(50, generator=generator)

    def learned(scale: float):
        descent = Descent(steps=60, lr_value=0.05 / scale, lr_attention=2000.0 / scale)
        start = torch.Generator().manual_seed(2)
        return learn_downstream(arm, sample.patches, sample.label, descent, generator=start)

    model, retries = learned(1.0)
    alone, none = learned(3.0**retries)
    assert retries >= 1 and none == 0
    assert torch.allclose(model.value_vector, alone.value_vector, atol=1e-5)
    assert torch.allclose(model.attention_logits, alone.attention_logits, atol=1e-3)


def test_an_undecided_input_counts_as_wrong():
    margins = torch.tensor([1.0, -1.0, 0.0, 0.0])
    inputs = torch.zeros(4, 2, 3)
    assert accuracy_on(
        lambda patches: margins, inputs, torch.tensor([1.0, -1.0, 1.0, -1.0])
    ) == pytest.approx(0.5)
