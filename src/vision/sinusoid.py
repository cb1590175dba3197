"""Fixed encodings of position by sines and cosines: of tokens in a row, and of the patches of a grid."""

import torch

from src.common.choices import refusal
from src.common.shapes import Float

LONGEST = 10_000.0


def sinusoid(num_tokens: int, dim: int) -> Float[torch.Tensor, "tokens dim"]:
    """sin(w_k t) and cos(w_k t) in turn, at t = 0, 1, …, with w_k = LONGEST^(-2k / dim), k from 0 to dim / 2 - 1.

    The scalar product of two encodings is the sum of cos(w_k (s - t)), so that it depends on their distance alone;
    that with itself is dim / 2. Source: Vaswani et al., 2017, section 3.5. ValueError for an odd dim.
    """
    if dim % 2:
        raise ValueError(refusal("dim", dim, "an even number", dim + 1))
    angles = torch.arange(num_tokens)[:, None] * LONGEST ** (-torch.arange(0, dim, 2) / dim)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def grid_sinusoid(side: int, dim: int) -> Float[torch.Tensor, "patches dim"]:
    """Of a square grid, patches row by row: half of an encoding is of the row, half of the column.

    ValueError for a dim that is no multiple of 4.
    """
    if dim % 4:
        raise ValueError(refusal("dim", dim, "a multiple of 4", dim + 4 - dim % 4))
    line = sinusoid(side, dim // 2)
    return torch.cat([line.repeat_interleave(side, 0), line.repeat(side, 1)], dim=1)
