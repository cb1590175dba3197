"""Is the symmetric solution stable? How fast its rows part, by the second derivative of the population risk.

The idealized process keeps v = alpha w* and two logits, gamma inside a set and rho across: all rows are equal by
decree. In the realistic process every entry is free. Let A = A_sym + E with a small E. Descent with step eta gives
E <- (I - eta H) E, H the Hessian of the risk along A at A_sym; so E grows along an eigenvector of H whose eigenvalue
is negative, by the factor 1 + eta * rate a step, rate = -eigenvalue.

H commutes with every relabelling of patches that respects the sets. So it maps a difference between two rows of one
set to differences between the same two rows; and the ways in which rows a and b of a set can differ, all else being
symmetric, are four: the row's logits inside its set, its column's there, the row's logits outside, its column's
there. H on these four directions is a 4 x 4 matrix (3 x 3 where C = 2), and its lowest eigenvalue is the rate.
"""

import torch
from torch import Tensor
from torch.func import hessian
from torch.nn.functional import softplus

from src.common.shapes import Float
from src.structure import Partition
from src.synthetic.exact import Population
from src.synthetic.idealized import IdealizedModel
from src.synthetic.model import activation


def symmetric_logits(
    partition: Partition, state: Float[Tensor, "3"], diagonal: float
) -> Float[Tensor, "patches patches"]:
    """(D, D) logits of the idealized state (alpha, gamma, rho)."""
    return torch.where(partition.same_set, state[1], state[2]).fill_diagonal_(diagonal)


def row_differences(partition: Partition) -> Float[Tensor, "directions patches patches"]:
    """Orthonormal directions (4, D, D), or (3, D, D) for C = 2, in which the first set's first two rows differ."""
    first, second = partition.sets[0, :2]
    sign = torch.zeros(partition.num_patches, dtype=torch.float64)
    sign[first], sign[second] = 1, -1
    same = partition.same_set
    row, column = sign[:, None].expand_as(same), sign.expand_as(same)
    directions = torch.stack([row * same, column * same, row * ~same, column * ~same])
    directions.diagonal(dim1=1, dim2=2).zero_()  # held
    span, scale, _ = torch.linalg.svd(directions.flatten(1).T, full_matrices=False)
    return span.T[scale > 1e-9].unflatten(-1, same.shape)


def row_growth(
    model: IdealizedModel, partition: Partition, inputs: Population, state: Float[Tensor, "3"]
) -> tuple[Tensor, Float[Tensor, "patches patches"]]:
    """How fast a small difference between two rows of one set grows at the idealized state (alpha, gamma, rho).

    Parameters
    ----------
    model : D, C, p, nu and sigma_A.
    partition, inputs : a partition of D patches into sets of C; the population, or a sample with weights, float64.

    Returns
    -------
    rate : (); a step of size eta on each entry of A multiplies the fastest difference by 1 + eta * rate.
    direction : (D, D), that difference, of norm 1.
    """
    symmetric = symmetric_logits(partition, state, model.diagonal)
    directions = row_differences(partition)
    read = model.num_patches * state[0] * inputs.patches[:, :, 0]

    def risk(amount: Float[Tensor, " directions"]) -> Tensor:
        attention = (symmetric + torch.einsum("k,kij->ij", amount, directions)).softmax(-1)
        output = activation(read @ attention.T, model.degree, model.linear_coefficient).sum(-1)
        return (inputs.weight * softplus(-inputs.label * output)).sum()

    curvature = hessian(risk)(symmetric.new_zeros(len(directions)))
    eigenvalues, vectors = torch.linalg.eigh(curvature)
    return -eigenvalues[0], torch.einsum("k,kij->ij", vectors[:, 0], directions)
