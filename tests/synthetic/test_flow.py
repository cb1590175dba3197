import numpy as np
import pytest
import torch

from src.synthetic.flow import alpha_at_end, alpha_of_linear_rule, critical_ratio, idealized_flow
from src.synthetic.idealized import IdealizedModel, idealized_descent, sample_counts


@pytest.fixture(scope="module")
def setting():
    """Figure 4's distribution and activation."""
    return IdealizedModel(10, 2, 5, 0.03, 0.5), sample_counts(
        10, 2, 0.23, 4096, generator=torch.Generator().manual_seed(1)
    )


def test_small_steps_follow_the_flow(setting):
    model, sample = setting
    ratio, lr_value = 1e4, 4e-4
    flow = idealized_flow(model, sample, ratio)
    descent = idealized_descent(
        10,
        2,
        0.23,
        degree=5,
        diagonal=0.5,
        lr_value=lr_value,
        lr_attention=ratio * lr_value,
        steps=1500,
        num_samples=2048,
        generator=torch.Generator().manual_seed(2),
    )
    assert descent.alpha.max() == pytest.approx(flow.alpha.max(), rel=0.01)
    assert descent.alpha[-1] == pytest.approx(np.interp(lr_value * 1500, flow.time, flow.alpha), rel=0.01)
    # The gap leaps when association comes: its time is compared, not the gap at one time.
    leap = (descent.gamma - descent.rho > 1).double().argmax() * lr_value
    assert leap == pytest.approx(np.interp(1.0, flow.gamma - flow.rho, flow.time), rel=0.03)


def test_alpha_shrinks_at_a_small_ratio_and_grows_at_a_large_one_to_the_same_end(setting):
    model, sample = setting
    slow, fast = idealized_flow(model, sample, 1e3), idealized_flow(model, sample, 1e6)
    assert slow.alpha_growth < -0.3 and fast.alpha_growth > 0.3
    assert slow.alpha[-1] == pytest.approx(fast.alpha[-1], rel=0.01)
    assert fast.alpha[-1] == pytest.approx(alpha_at_end(model, sample), rel=0.01)
    assert slow.alpha.max() < 1.05 * alpha_of_linear_rule(model, sample)


def test_the_critical_ratio_lies_between_them(setting):
    predicted = critical_ratio(*setting)
    assert (
        idealized_flow(*setting, predicted / 3).alpha_growth
        < 0
        < idealized_flow(*setting, predicted * 3).alpha_growth
    )


def test_refuses_a_ratio_that_is_not_positive(setting):
    with pytest.raises(ValueError, match="step_ratio = 0"):
        idealized_flow(*setting, 0.0)


def test_refuses_an_activation_without_a_linear_part(setting):
    with pytest.raises(ValueError, match="linear_coefficient = 0: a number above 0 is needed"):
        idealized_flow(IdealizedModel(10, 2, 5, 0.0, 0.5), setting[1], 1.0)
