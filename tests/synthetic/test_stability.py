import math

import pytest
import torch

from src.structure import Partition
from src.synthetic.exact import population
from src.synthetic.gradient import loss_and_gradient
from src.synthetic.idealized import IdealizedModel
from src.synthetic.model import PositionalAttentionModel
from src.synthetic.stability import row_differences, row_growth, symmetric_logits


@pytest.fixture(params=[(8, 2, 3, 0.5, 0.3), (8, 4, 3, 0.5, 0.8), (6, 3, 5, 2.0, 0.6)], ids=str)
def setting(request):
    num_patches, set_size, degree, diagonal, q = request.param
    partition = Partition.random(num_patches, set_size, generator=torch.Generator().manual_seed(3))
    model = IdealizedModel(num_patches, set_size, degree, 0.03, diagonal)
    return model, partition, population(partition, q)


def descend(model, inputs, alpha, logits, steps, rate):
    """Plain descent on the population risk with every entry of A free, alpha held."""
    free = PositionalAttentionModel(
        model.num_patches, 1, model.degree, model.linear_coefficient, model.diagonal, dtype=torch.float64
    ).with_parameters(logits.clone(), alpha.reshape(1))
    for _ in range(steps):
        gradient = loss_and_gradient(free, inputs.patches, inputs.label, weight=inputs.weight)[3]
        free.attention_logits.detach().sub_(rate * gradient)
    return free.attention_logits.detach()


def test_a_small_difference_between_rows_grows_at_the_rate(setting):
    model, partition, inputs = setting
    state = torch.tensor([1.5 / model.num_patches, 0.3, -0.1], dtype=torch.float64)
    symmetric = symmetric_logits(partition, state, model.diagonal)
    rate, direction = row_growth(model, partition, inputs, state)
    assert abs(rate) > 1e-4
    small, eta, steps = 1e-6, 0.01, 20
    with_it = descend(model, inputs, state[0], symmetric + small * direction, steps, eta)
    without = descend(model, inputs, state[0], symmetric, steps, eta)
    grown = ((with_it - without) * direction).sum() / small
    assert math.log(grown) == pytest.approx(steps * math.log1p(eta * rate), rel=0.02)
    # It stays that direction: the rest of the difference is of second order.
    assert (with_it - without - small * grown * direction).norm() < 0.02 * small


def test_the_direction_is_an_eigenvector_of_the_whole_hessian(setting):
    """Of all D (D - 1) free entries of A, by differences of the gradient."""
    model, partition, inputs = setting
    state = torch.tensor([1.5 / model.num_patches, 0.3, -0.1], dtype=torch.float64)
    rate, direction = row_growth(model, partition, inputs, state)
    symmetric = symmetric_logits(partition, state, model.diagonal)
    free = PositionalAttentionModel(
        model.num_patches, 1, model.degree, model.linear_coefficient, model.diagonal, dtype=torch.float64
    )

    def slope(logits):
        at = free.with_parameters(logits, state[:1].clone())
        return loss_and_gradient(at, inputs.patches, inputs.label, weight=inputs.weight)[3]

    step = 1e-5
    along = (slope(symmetric + step * direction) - slope(symmetric - step * direction)) / (2 * step)
    assert torch.allclose(along, -rate * direction, atol=1e-6)


def test_directions_are_orthonormal_and_leave_the_diagonal_alone():
    for set_size, number in ((2, 3), (4, 4)):
        directions = row_differences(Partition.contiguous(8, set_size))
        assert directions.shape == (number, 8, 8)
        assert torch.allclose(
            directions.flatten(1) @ directions.flatten(1).T, torch.eye(number, dtype=torch.float64)
        )
        assert directions.diagonal(dim1=1, dim2=2).abs().max() < 1e-12


def test_a_larger_diagonal_parts_the_rows_more_slowly():
    partition = Partition.contiguous(8, 4)
    inputs = population(partition, 0.8)
    state = torch.tensor([0.15, 1.0, -0.2], dtype=torch.float64)
    rates = [
        row_growth(IdealizedModel(8, 4, 3, 0.03, diagonal), partition, inputs, state)[0].item()
        for diagonal in (0.5, 1.0, 2.0, 3.0)
    ]
    assert rates == sorted(rates, reverse=True)
