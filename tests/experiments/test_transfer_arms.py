"""Transfer: what the arms share, and on which inputs steps are chosen."""

import pytest
import torch

from src.experiments import transfer
from src.experiments.settings import TransferSettings
from src.structure import Partition
from src.synthetic.distribution import SpatialDistribution, random_feature
from src.synthetic.tasks import Task
from src.synthetic.transfer import Arm, Descent
from src.synthetic.validated import descend


@pytest.fixture(scope="module")
def distribution():
    generator = torch.Generator().manual_seed(0)
    partition = Partition.random(8, 2, generator=generator)
    return SpatialDistribution(partition, random_feature(5, generator=generator), 0.3)


def test_downstream_steps_are_chosen_on_other_inputs_than_are_tested(distribution, monkeypatch):
    given, settings = [], TransferSettings(num_patches=8, set_size=2, steps=5, num_test=40, sample_sizes=[5])

    def looked(run, feature, validation, test, **options):
        given.append((validation, test))
        return descend(run, feature, validation, test, **options)

    monkeypatch.setattr(transfer, "descend", looked)
    transfer._validated(settings, 0, Arm(distribution, None), Descent(5, 0.01, 3.0))
    assert given and not any(torch.equal(one.coefficient, other.coefficient) for one, other in given)


def test_the_arms_differ_in_their_attention_and_one_in_its_partition(distribution):
    learned = torch.randn(8, 8)
    arms = transfer._arms(Task((0, "task", 0), distribution), learned)
    moved = {
        name
        for name, arm in arms.items()
        if not torch.equal(arm.distribution.partition.sets, distribution.partition.sets)
    }
    assert moved == {"other_partition"}
    assert {name for name, arm in arms.items() if arm.attention_logits is learned} == {
        "kept",
        "other_partition",
    }
    assert len({id(arm.distribution.feature) for arm in arms.values()}) == 1
    assert not torch.equal(arms["kept"].distribution.feature, distribution.feature)
