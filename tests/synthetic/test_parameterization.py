import pytest
import torch

from src.structure import Partition
from src.synthetic.distribution import SpatialDistribution, random_feature
from src.synthetic.model import PositionalAttentionModel
from src.synthetic.parameterization import Optimizer, Parameterization, margin
from src.synthetic.realistic import gradient_descent


@pytest.fixture(scope="module")
def sample():
    generator = torch.Generator().manual_seed(0)
    partition = Partition.random(8, 2, generator=generator)
    distribution = SpatialDistribution(partition, random_feature(5, generator=generator), 0.3)
    return distribution.sample(40, generator=generator)


def test_free_logits_by_gradient_descent_go_the_closed_forms_way(sample):
    start = Parameterization("free").start(8, generator=torch.Generator().manual_seed(1))
    model = PositionalAttentionModel(8, 5, generator=torch.Generator().manual_seed(1))
    assert torch.equal(Parameterization("free").logits(start), model.attention_logits.detach())
    trajectory = gradient_descent(
        model, sample.patches, sample.label, steps=30, lr_value=0.01, lr_attention=3.0
    )
    states = Optimizer("gradient_descent", 0.01, 3.0).descend(
        Parameterization("free"),
        sample.patches[None],
        sample.label[None],
        steps=[0, 30],
        generators=[torch.Generator().manual_seed(1)],
    )
    assert torch.allclose(states.attention_logits[1, 0], model.attention_logits, atol=1e-5)
    assert torch.allclose(states.value_vector[1, 0], model.value_vector, atol=1e-5)
    assert torch.allclose(states.loss[:, 0], trajectory.loss[[0, 30]], atol=1e-6)


def test_the_margin_is_the_models(sample):
    model = PositionalAttentionModel(8, 5, init_scale=0.5, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        own = margin(
            sample.patches, model.attention_logits, model.value_vector, degree=3, linear_coefficient=0.03
        )
        assert torch.allclose(own, model(sample.patches), rtol=1e-4)


@pytest.mark.parametrize("optimizer", ["gradient_descent", "adam"])
@pytest.mark.parametrize("kind", ["free", "symmetric", "gram"])
def test_runs_side_by_side_go_the_way_that_each_goes_alone(sample, kind, optimizer):
    def train(seeds: list[int]):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        patches, label = (each.expand(len(seeds), *each.shape) for each in (sample.patches, sample.label))
        rank = 3 if kind == "gram" else 0
        return Optimizer(optimizer, 0.01, 0.05).descend(
            Parameterization(kind, rank), patches, label, steps=[20], generators=generators
        )

    together, alone = train([3, 4]), train([4])
    assert torch.allclose(together.attention_logits[:, 1], alone.attention_logits[:, 0], atol=1e-4)


def test_symmetric_logits_are_symmetric_with_the_diagonal_held_and_products_have_their_rank():
    generator = torch.Generator().manual_seed(5)
    symmetric = Parameterization("symmetric", diagonal=0.7)
    logits = symmetric.logits(symmetric.start(6, generator=generator) * 1e3)
    assert torch.equal(logits, logits.T)
    assert (logits.diagonal() == 0.7).all()
    gram = Parameterization("gram", rank=2, diagonal=0.7)
    logits = gram.logits(gram.start(400, generator=generator))
    assert torch.linalg.matrix_rank(logits) == 2
    assert logits.diagonal().mean() == pytest.approx(0.7, abs=0.1)


def test_products_without_a_rank_are_refused():
    with pytest.raises(ValueError, match=r"rank = 0: an integer >= 1 is needed for P\^T P; the nearest: 1"):
        Parameterization("gram")
