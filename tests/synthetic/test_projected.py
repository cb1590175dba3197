import pytest
import torch

from src.structure import Partition
from src.synthetic.distribution import SpatialDistribution, random_feature
from src.synthetic.model import PositionalAttentionModel
from src.synthetic.projected import ProjectedInputs
from src.synthetic.realistic import gradient_descent
from src.synthetic.transfer import accuracy_on, learn_values


@pytest.fixture(scope="module")
def distribution():
    generator = torch.Generator().manual_seed(0)
    partition = Partition.random(16, 4, generator=generator)
    return SpatialDistribution(partition, random_feature(6, generator=generator), 0.5)


def test_projected_inputs_give_a_model_the_accuracy_that_whole_patches_give(distribution):
    generator = torch.Generator().manual_seed(1)
    model = PositionalAttentionModel(16, 6, init_scale=0.3, generator=generator)
    model.value_vector.data += distribution.feature
    sample = distribution.sample(20_000, generator=generator)
    whole = accuracy_on(model, sample.patches, sample.label)
    seen = ProjectedInputs.draw(distribution, 20_000, generator=generator).seen_through(
        model.attention.detach()
    )
    value = model.value_vector.detach()
    projected = seen.accuracy(value, distribution.feature, degree=3, linear_coefficient=0.03).item()
    assert projected == pytest.approx(whole, abs=5 * (2 * whole * (1 - whole) / 20_000) ** 0.5)
    assert 0.6 < whole < 0.99  # else the test could not tell them apart


def test_many_value_vectors_are_measured_as_each_alone(distribution):
    generator = torch.Generator().manual_seed(2)
    seen = ProjectedInputs.draw(distribution, 200, generator=generator).seen_through(
        torch.full((16, 16), 1 / 16)
    )
    values, features = torch.randn(2, 5, 6, generator=generator)
    features = features / features.norm(dim=-1, keepdim=True)
    options = {"degree": 3, "linear_coefficient": 0.03}
    together = seen.accuracy(values, features, **options)
    assert together.tolist() == [
        seen.accuracy(value, feature, **options).item()
        for value, feature in zip(values, features, strict=True)
    ]


def test_the_labelling_functions_accuracy_is_that_on_whole_patches(distribution):
    inputs = ProjectedInputs.draw(distribution, 20_000, generator=torch.Generator().manual_seed(3))
    sample = distribution.sample(20_000, generator=torch.Generator().manual_seed(4))
    whole = (distribution.labelling_function(sample.patches) == sample.label).double().mean().item()
    assert inputs.labelling_accuracy(distribution.partition) == pytest.approx(whole, abs=0.005)


def test_learning_values_alone_is_the_descent_with_attention_frozen(distribution):
    sample = distribution.sample(12, generator=torch.Generator().manual_seed(5))
    model = PositionalAttentionModel(16, 6, init_scale=0.2, generator=torch.Generator().manual_seed(6))
    start, attention = model.value_vector.detach().clone(), model.attention.detach()
    values = learn_values(
        (16 * attention @ sample.patches)[None],
        sample.label[None],
        start[None],
        lr_value=0.01,
        steps=[0, 10, 20],
        degree=3,
        linear_coefficient=0.03,
    )
    gradient_descent(model, sample.patches, sample.label, steps=20, lr_value=0.01, lr_attention=0.0)
    assert values.shape == (3, 1, 6)
    assert torch.allclose(values[-1, 0], model.value_vector.detach(), rtol=1e-4, atol=1e-6)
