"""Loss and closed-form gradient of the one-layer model, for one run or many at once; which way they are computed."""

from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from src.common.choices import one_of
from src.common.shapes import Float
from src.synthetic.model import PositionalAttentionModel, activation_and_slope, project, project_back

# Patches are read twice, forward and back. A block of this size is still in the cache at the second reading.
CACHE_BYTES = 8 * 2**20
# On a GPU reading this takes about as long as launching a step's operations: estimated, not measured.
LAUNCH_BYTES = 2**30
PATHS = ("auto", "plain", "blocked", "fused")


@torch.no_grad()
def loss_and_gradient(
    model: PositionalAttentionModel,
    patches: Float[Tensor, "*runs samples patches dim"],
    label: Float[Tensor, "*runs samples"],
    *,
    weight: Float[Tensor, "*runs samples"] | None = None,
    with_attention: bool = True,
    path: Literal["auto", "plain", "blocked", "fused"] = "auto",
) -> tuple[
    Float[Tensor, "*runs"],
    Float[Tensor, "*runs"],
    Float[Tensor, "*runs dim"],
    Float[Tensor, "*runs patches patches"] | None,
]:
    """Loss, accuracy and the gradients along v and A; the patches come from memory once, nothing their size is made.

    Parameters
    ----------
    patches, label : (n, D, d) and (n,) in {-1, +1}, after the model's leading dimensions.
    weight : (n,), each sample's share of the loss; 1 / n by default, 0 for padding.
    with_attention : False leaves the last gradient out, and returns None for it.
    path : "plain" is the reference: all samples at once. "blocked" goes through blocks that fit the cache. "fused"
        is one CUDA kernel that keeps each sample on chip. "auto" takes the fastest for device, dtype and shape.

    Notes
    -----
    With u = X v, z = D u S^T and F = sum_i sigma(z_i), the chain rule gives, per sample,
    dF/du = D S^T sigma'(z), dF/dv = X^T dF/du, dF/dS = D sigma'(z) u^T; and through the softmax of a row,
    dF/dA_i = S_i * (dF/dS_i - <dF/dS_i, S_i>). The loss log(1 + exp(-y F)) has slope -y sigmoid(-y F).
    """
    one_of("path", path, PATHS)
    path = fastest_path(patches) if path == "auto" else path
    weight = torch.full_like(label, 1 / label.shape[-1]) if weight is None else weight
    attention = model.attention
    if path == "fused":
        from src.synthetic.fused import fused_sums

        output, grad_value, grad_softmax = fused_sums(model, attention, patches, label, weight)
    else:
        block = samples_per_block(patches) if path == "blocked" else label.shape[-1]
        output, grad_value, grad_softmax = _plain_sums(model, attention, patches, label, weight, block)
    margin = label * output
    loss = (weight * softplus(-margin)).sum(-1)
    accuracy = (weight * (margin > 0)).sum(-1)
    if not with_attention:
        return loss, accuracy, grad_value, None
    grad_attention = attention * (grad_softmax - (grad_softmax * attention).sum(-1, keepdim=True))
    grad_attention.diagonal(dim1=-2, dim2=-1).zero_()
    return loss, accuracy, grad_value, grad_attention


def fastest_path(patches: Float[Tensor, "*runs samples patches dim"]) -> str:
    """The one place where device, dtype and shape decide: "fused", "blocked" or "plain"."""
    if patches.device.type == "cpu":
        return "blocked"
    on_chip = max(patches.shape[-2:]) <= 128 and patches.dtype == torch.float32
    return "fused" if patches.is_cuda and on_chip and find_spec("triton") else "plain"


def fast_bytes(device: torch.device) -> int:
    """Bytes of patches up to which runs are taken together: what the cache holds, or what hides a GPU's launches.

    Beyond that each run alone is as fast, and needs neither padding nor a copy of its patches.
    """
    return LAUNCH_BYTES if device.type == "cuda" else CACHE_BYTES


def samples_per_block(patches: Float[Tensor, "*runs samples patches dim"]) -> int:
    """How many samples of all runs fit the cache together; on an accelerator, all."""
    samples = patches.shape[-3]
    return max(1, samples * CACHE_BYTES // patches.nbytes) if patches.device.type == "cpu" else samples


def _plain_sums(
    model: PositionalAttentionModel,
    attention: Float[Tensor, "*runs patches patches"],
    patches: Float[Tensor, "*runs samples patches dim"],
    label: Float[Tensor, "*runs samples"],
    weight: Float[Tensor, "*runs samples"],
    block: int,
) -> tuple[
    Float[Tensor, "*runs samples"], Float[Tensor, "*runs dim"], Float[Tensor, "*runs patches patches"]
]:
    """F of each sample, and the sums over samples, `block` at a time: the loss's gradients along v and along S."""
    num_patches, scaled = patches.shape[-2], patches.shape[-2] * attention
    outputs, grad_value, grad_softmax = [], torch.zeros_like(model.value_vector), torch.zeros_like(attention)
    pieces = (each.split(block, -1) for each in (-label, -label * weight))
    for x, opposite, share in zip(patches.split(block, -3), *pieces, strict=True):
        projected = project(x, model.value_vector)
        value, slope = activation_and_slope(projected @ scaled.mT, model.degree, model.linear_coefficient)
        outputs.append(value.sum(-1))
        upstream = slope.mul_((torch.sigmoid(opposite * outputs[-1]) * share).unsqueeze(-1))
        grad_value += project_back(upstream @ scaled, x)
        grad_softmax += upstream.mT @ projected
    return torch.cat(outputs, -1), grad_value, num_patches * grad_softmax
