"""One CUDA kernel for forward and gradient: each sample's patches are read once, and stay on chip in between."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from src.common.shapes import Float
from src.synthetic.model import PositionalAttentionModel

PROGRAMS_PER_PROCESSOR = 4  # enough loads under way at once to keep the memory busy


def fused_sums(
    model: PositionalAttentionModel,
    attention: Float[Tensor, "*runs patches patches"],
    patches: Float[Tensor, "*runs samples patches dim"],
    label: Float[Tensor, "*runs samples"],
    weight: Float[Tensor, "*runs samples"],
) -> tuple[
    Float[Tensor, "*runs samples"], Float[Tensor, "*runs dim"], Float[Tensor, "*runs patches patches"]
]:
    """F of each sample, and the sums over samples: the loss's gradients along v and along S. float32 throughout."""
    runs, (samples, num_patches, patch_dim) = patches.shape[:-3], patches.shape[-3:]
    num_runs = runs.numel()
    parts = _parts(num_runs, samples, patches.device)
    output = torch.empty_like(label, memory_format=torch.contiguous_format)
    grad_value = patches.new_empty(*runs, parts, patch_dim)
    grad_softmax = patches.new_empty(*runs, parts, num_patches, num_patches)
    inputs = (patches, label, weight, attention, model.value_vector.detach())
    side = triton.next_power_of_2(num_patches), triton.next_power_of_2(patch_dim)
    _kernel[(num_runs, parts)](
        *(each.contiguous() for each in inputs),
        output,
        grad_value,
        grad_softmax,
        samples,
        model.linear_coefficient,
        D=num_patches,
        DIM=patch_dim,
        BLOCK_D=side[0],
        BLOCK_DIM=side[1],
        HALF_DEGREE=(model.degree - 1) // 2,
        num_warps=8 if max(side) <= 64 else 16,
    )
    return output, grad_value.sum(-2), grad_softmax.sum(-3)


def _parts(num_runs: int, samples: int, device: torch.device) -> int:
    """How many programs share a run's samples."""
    processors = (
        torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1
    )
    return max(1, min(samples, PROGRAMS_PER_PROCESSOR * processors // num_runs))


@triton.jit
def _kernel(
    patches,
    label,
    weight,
    attention,
    value_vector,
    output,
    grad_value,
    grad_softmax,
    samples,
    nu,
    D: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    HALF_DEGREE: tl.constexpr,
):
    """Program (r, p) goes through samples p, p + parts, … of run r; names as in the notes of `loss_and_gradient`."""
    run, part, parts = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    i, j = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_DIM)
    square, square_mask = i[:, None] * D + i[None, :], (i[:, None] < D) & (i[None, :] < D)
    tile, tile_mask = i[:, None] * DIM + j[None, :], (i[:, None] < D) & (j[None, :] < DIM)
    s = D * tl.load(attention + run * D * D + square, mask=square_mask, other=0.0)
    v = tl.load(value_vector + run * DIM + j, mask=j < DIM, other=0.0)
    dv = tl.zeros((BLOCK_DIM,), tl.float32)
    ds = tl.zeros((BLOCK_D, BLOCK_D), tl.float32)
    following = tl.load(patches + (run * samples + part) * D * DIM + tile, mask=tile_mask, other=0.0)
    for sample in range(part, samples, parts):
        n = run * samples + sample
        y, share = tl.load(label + n), tl.load(weight + n)
        x = following  # the next sample is on its way while this one is worked on
        more = tile_mask & (sample + parts < samples)
        following = tl.load(patches + (n + parts) * D * DIM + tile, mask=more, other=0.0)
        u = tl.sum(x * v[None, :], 1)
        z = tl.sum(s * u[None, :], 1)
        even = z * z
        power = even
        for _ in tl.static_range(HALF_DEGREE - 1):
            power = power * even
        f = tl.sum(z * (power + nu), 0)
        tl.store(output + n, f)
        slope = -y * share / (1 + tl.exp(y * f))  # -y sigmoid(-y F), times the sample's share
        upstream = slope * ((2 * HALF_DEGREE + 1) * power + nu)
        du = tl.sum(s * upstream[:, None], 0)
        dv += tl.sum(x * du[:, None], 0)
        ds += upstream[:, None] * u[None, :]
    row = run * parts + part
    tl.store(grad_value + row * DIM + j, dv, mask=j < DIM)
    tl.store(grad_softmax + row * D * D + square, D * ds, mask=square_mask)
