"""The idealized process in the limit of small steps: only the ratio of the two step sizes is left.

Descent moves alpha by -lr_value dR/dalpha and each logit by -lr_attention times its slope. As both steps shrink, the
path in (alpha, gamma, rho) is that of a flow whose one parameter is their ratio, r = lr_attention / lr_value (in
units of the logits that the softmax sees), and whose time is lr_value times the iterations.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.integrate import quad, solve_ivp
from scipy.optimize import minimize_scalar

from src.synthetic.baselines import PLANTED_GAP
from src.synthetic.idealized import IdealizedModel, PatternCounts

# Long enough for alpha to settle: so many times what alpha alone needs to reach 1 at its first pace, nu D C / 2.
DURATION = 300.0
# What r times the drive's integral must reach by the time alpha is at its end, for alpha to rise to it. The drive at
# gap 0 alone would need about 1; the gap strengthens its own drive. Set on nine settings with sampling seed 1000.
GAIN = 0.32


@dataclass(frozen=True)
class Flow:
    """A path: `time`, `alpha`, `gamma`, `rho` and `mass`, a row's attention on its own set, all (t,).

    association : the index of the first point at which the rows are associated, half of the way from the mass at the
        start to 1; None where that never happens.
    """

    time: np.ndarray
    alpha: np.ndarray
    gamma: np.ndarray
    rho: np.ndarray
    mass: np.ndarray

    @property
    def association(self) -> int | None:
        associated = self.mass >= (1 + self.mass[0]) / 2
        return int(associated.argmax()) if associated.any() else None

    @property
    def alpha_growth(self) -> float:
        """ln of alpha at the end over alpha at association: above 0 it grows again, below it shrinks."""
        return np.nan if self.association is None else np.log(self.alpha[-1] / self.alpha[self.association])


def idealized_flow(
    model: IdealizedModel, sample: PatternCounts, step_ratio: float, *, init_scale: float = 1e-3
) -> Flow:
    """Follow the population risk's slope from alpha = init_scale and gamma = rho = 0 until alpha has settled.

    Parameters
    ----------
    model : D, C, p, nu and sigma_A.
    sample : inputs that stand for the population: three numbers cannot fit a sample of thousands.
    step_ratio : r > 0.
    """
    if not step_ratio > 0:
        raise ValueError(f"step_ratio = {step_ratio}: a number above 0 is needed")
    if not model.linear_coefficient > 0:
        raise ValueError("linear_coefficient = 0: a number above 0 is needed, for it sets the flow's time")
    rates = np.array([1.0, step_ratio, step_ratio]) / _entries(model)
    duration = DURATION / (model.linear_coefficient * model.num_patches * model.set_size / 2)
    solved = solve_ivp(
        lambda time, state: -rates * _slopes(model, sample, state),
        (0.0, duration),
        [init_scale, 0.0, 0.0],
        method="LSODA",
        rtol=1e-5,
        atol=1e-8,
    )
    if not solved.success:
        raise ArithmeticError(f"the flow at step_ratio = {step_ratio:g} ended early: {solved.message}")
    own, inside, _ = model.attention_weights(*torch.from_numpy(solved.y[1:]))
    mass = own + (model.set_size - 1) * inside
    return Flow(solved.t, *solved.y, mass.numpy())


def alpha_at_end(model: IdealizedModel, sample: PatternCounts) -> float:
    """The alpha of least risk where every row reads its whole set evenly, and nothing else."""
    return _best_alpha(model, sample, gamma=model.diagonal, rho=model.diagonal - PLANTED_GAP)


def alpha_of_linear_rule(model: IdealizedModel, sample: PatternCounts) -> float:
    """The alpha of least risk where the attention is what it was at the start."""
    return _best_alpha(model, sample, gamma=0.0, rho=0.0)


def critical_ratio(model: IdealizedModel, sample: PatternCounts, *, init_scale: float = 1e-3) -> float:
    """The r below which alpha overshoots and shrinks to its end, above which it rises to it: no descent needed.

    Notes
    -----
    While the gap g = gamma - rho is small, dg / dalpha = r h(alpha), with h the drive of the gap over the drive of
    alpha, both at gap 0. If the rows are associated before alpha has passed its end, alpha has further to go; if
    not, alpha goes on towards the linear rule's, which is larger, and must come back. So r is critical where
    r times the integral of h from the start to alpha's end is GAIN. It is 0 where the linear rule's alpha lies below
    the end: there alpha never has to come back.
    """
    end = alpha_at_end(model, sample)
    if end >= alpha_of_linear_rule(model, sample):
        return 0.0
    entries = _entries(model)

    def drive(alpha: float) -> float:
        slope = _slopes(model, sample, np.array([alpha, 0.0, 0.0]))
        return (slope[1] / entries[1] - slope[2] / entries[2]) / slope[0]

    return GAIN / quad(drive, init_scale, end, limit=20)[0]


def _entries(model: IdealizedModel) -> np.ndarray:
    """How many entries share each number: gamma moves by their mean slope, and the risk's slope is their sum."""
    num_patches, set_size = model.num_patches, model.set_size
    return np.array([1.0, num_patches * (set_size - 1), num_patches * (num_patches - set_size)])


def _slopes(model: IdealizedModel, sample: PatternCounts, state: np.ndarray) -> np.ndarray:
    return model.loss_and_gradient(sample, torch.from_numpy(state))[2].numpy()


def _best_alpha(model: IdealizedModel, sample: PatternCounts, gamma: float, rho: float) -> float:
    def risk(alpha: float) -> float:
        state = torch.tensor([alpha, gamma, rho], dtype=torch.float64)
        return model.loss_and_gradient(sample, state)[0].item()

    return minimize_scalar(risk, bounds=(1e-4, 2.0), method="bounded").x
