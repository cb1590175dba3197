import math

import pytest
import torch

from src.synthetic.model import PositionalAttentionModel

D, DIM = 6, 5


@pytest.fixture
def model():
    generator = torch.Generator().manual_seed(0)
    return PositionalAttentionModel(
        D, DIM, diagonal=0.7, init_scale=0.5, generator=generator, dtype=torch.float64
    )


def test_forward_follows_the_equation(model):
    patches = torch.randn(3, D, DIM, dtype=torch.float64)
    logits, value = model.attention_logits.tolist(), model.value_vector.tolist()
    for x, predicted in zip(patches.tolist(), model(patches).tolist(), strict=True):
        total = 0.0
        for i in range(D):
            weights = [math.exp(logits[i][j]) for j in range(D)]
            mixed = sum(
                w * sum(v * c for v, c in zip(value, x[j], strict=True)) for j, w in enumerate(weights)
            )
            z = D * mixed / sum(weights)
            total += z**3 + 0.03 * z
        assert predicted == pytest.approx(total, rel=1e-12)


def test_the_diagonal_is_held(model):
    assert (model.attention_logits.diagonal() == 0.7).all()
    model(torch.randn(2, D, DIM, dtype=torch.float64)).sum().backward()
    assert (model.attention_logits.grad.diagonal() == 0).all()
    assert model.attention_logits.grad.abs().sum() > 0


def test_relabelling_patches_of_model_and_input_changes_nothing(model):
    order = torch.randperm(D)
    patches = torch.randn(4, D, DIM, dtype=torch.float64)
    expected = model(patches)
    with torch.no_grad():
        model.attention_logits.copy_(model.attention_logits[order][:, order])
    assert torch.allclose(model(patches[:, order]), expected, rtol=1e-12)


def test_init_scale_sets_the_start():
    model = PositionalAttentionModel(200, 300, init_scale=1e-2, generator=torch.Generator().manual_seed(1))
    off = model.attention_logits[~model.on_diagonal]
    assert off.std().item() == pytest.approx(1e-2, rel=0.02)
    assert model.value_vector.std().item() == pytest.approx(1e-2, rel=0.15)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"degree": 4}, "degree = 4: an odd integer >= 3 is needed; the nearest: 5"),
        ({"degree": 1}, "degree = 1: an odd integer >= 3 is needed; the nearest: 3"),
        (
            {"linear_coefficient": -0.1},
            "linear_coefficient = -0.1: a number >= 0 is needed; the nearest: 0.0",
        ),
    ],
)
def test_wrong_activation_is_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        PositionalAttentionModel(D, DIM, **arguments)


def test_patches_of_another_shape_are_refused(model):
    with pytest.raises(
        ValueError, match=r"patches has shape \(2, 7, 5\); \(n, D, d\) = \(n, 6, 5\) is needed"
    ):
        model(torch.zeros(2, 7, DIM, dtype=torch.float64))


def test_a_stack_is_its_models_on_shared_or_own_samples(model):
    other = PositionalAttentionModel(D, DIM, diagonal=0.7, init_scale=0.5, dtype=torch.float64)
    stack = PositionalAttentionModel.stack([model, other])
    patches = torch.randn(2, 4, D, DIM, dtype=torch.float64)
    for index, each in enumerate((model, other)):
        assert torch.allclose(stack(patches)[index], each(patches[index]), rtol=1e-12)
        assert torch.allclose(stack(patches[0])[index], each(patches[0]), rtol=1e-12)


def test_other_parameters_leave_the_model_as_it_is(model):
    before = model.value_vector.detach().clone()
    changed = model.with_parameters(model.attention_logits.detach(), torch.zeros_like(before))
    assert (changed(torch.ones(1, D, DIM, dtype=torch.float64)) == 0).all()
    assert torch.equal(model.value_vector, before)


def test_attention_may_start_smaller_than_the_value_vector():
    def start(**scales):
        return PositionalAttentionModel(9, 5, generator=torch.Generator().manual_seed(1), **scales)

    both, apart = start(init_scale=0.1), start(init_scale=0.1, init_scale_attention=0.001)
    assert torch.equal(both.value_vector, apart.value_vector)
    off = ~both.on_diagonal
    assert torch.allclose(both.attention_logits[off], 100 * apart.attention_logits[off])
    assert torch.equal(both.attention_logits.diagonal(), apart.attention_logits.diagonal())
