"""Exact answers by counting: the error that no rule can beat, and the population itself where D is small."""

from dataclasses import dataclass
from itertools import product
from math import comb

import torch
from torch import Tensor

from src.common.shapes import Float
from src.structure import Partition

# 3^(D - C) inputs a set: 330,000 at D = 12, C = 2; beyond that a sample is cheaper than the population.
MOST_INPUTS = 500_000


def bayes_error(num_patches: int, set_size: int, distractor_prob: float, *, tie: float = 0.5) -> float:
    """Exact error of the best rule there is: the sign of (sets full of +1) minus (sets full of -1).

    Given the coefficients, every full set is as likely to be the informative one: the noise tells nothing more.
    So the rule errs where the distractors of the L - 1 other sets fill more sets of the wrong sign than of the right.

    Parameters
    ----------
    num_patches, set_size, distractor_prob : D, C and q.
    tie : share of ties counted as errors; 0.5 settles them by a coin, 1 counts f* = 0 as wrong.
    """
    others = num_patches // set_size - 1
    full = (distractor_prob / 2) ** set_size  # one other set is full of +1; and of -1 as often
    error = 0.0
    for right in range(others + 1):
        for wrong in range(others + 1 - right):
            ways = comb(others, right) * comb(others - right, wrong)
            mass = ways * full ** (right + wrong) * (1 - 2 * full) ** (others - right - wrong)
            error += mass * ((wrong > right + 1) + tie * (wrong == right + 1))
    return error


@dataclass(frozen=True)
class Population:
    """Every input without noise: `patches` (m, D, 1), w*'s coefficient in each; `label` (m,); `weight` (m,).

    The weights sum to 1: a weighted mean over these inputs is an expectation under the distribution.
    """

    patches: Float[Tensor, "inputs patches 1"]
    label: Float[Tensor, " inputs"]
    weight: Float[Tensor, " inputs"]


def population(partition: Partition, distractor_prob: float) -> Population:
    """All inputs of label +1 with their probabilities, float64; F is odd, so label -1 adds nothing.

    Raises
    ------
    ValueError : more than MOST_INPUTS of them.
    """
    others = partition.num_patches - partition.set_size
    if partition.num_sets * 3**others > MOST_INPUTS:
        raise ValueError(
            f"num_patches = {partition.num_patches}: {partition.num_sets * 3**others} inputs, {MOST_INPUTS}"
            " are allowed; draw a sample instead"
        )
    elsewhere = torch.tensor(list(product((-1.0, 0.0, 1.0), repeat=others)), dtype=torch.float64)
    zeros = (elsewhere == 0).double().sum(-1)
    chance = (distractor_prob / 2) ** (others - zeros) * (1 - distractor_prob) ** zeros
    patches = torch.ones(partition.num_sets, len(elsewhere), partition.num_patches, dtype=torch.float64)
    for index, inputs in enumerate(patches):
        inputs[:, partition.membership != index] = elsewhere
    weight = (chance / partition.num_sets).repeat(partition.num_sets)
    return Population(patches.flatten(0, 1)[:, :, None], torch.ones_like(weight), weight)
