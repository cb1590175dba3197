"""Heads of a ViT with positional attention: whether their rows read whole sets, and what is lost without them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from src.common.shapes import Bool, Float
from src.structure import Partition, patch_association
from src.vision.fast import fast_logits, positional_attention
from src.vision.vit import VisionTransformer


def patch_attention(model: VisionTransformer) -> Float[Tensor, "layers heads patches patches"]:
    """Where the patches of every image look, in every layer; row and column of CLS are left out."""
    return positional_attention(model)[..., 1:, 1:].detach().float()


def set_reading(
    attention: Float[Tensor, "*heads patches patches"], partition: Partition
) -> Float[Tensor, "*heads patches"]:
    """(…, D): the largest share of row i's top C entries that lie inside one and the same set, whichever it is.

    For the row's own set that is `patch_association`, the diagonal first; for the others the diagonal is left out.
    1 means that the row reads a whole set: its own (association), or another (a shortcut).
    """
    count, size = partition.num_sets, partition.set_size
    membership = partition.membership.to(attention.device)
    own = torch.eye(partition.num_patches, dtype=torch.bool, device=attention.device)
    top = attention.masked_fill(own, -torch.inf).topk(size, dim=-1).indices
    shares = one_hot(membership, count).to(attention.dtype)[top].mean(-2)  # (…, D, L)
    others = shares.masked_fill(one_hot(membership, count).bool(), 0.0).amax(-1)
    return torch.maximum(patch_association(attention, partition), others)


class UniformHeads(nn.Module):
    """A ViT with positional attention in which some heads look everywhere alike, CLS included.

    Parameters
    ----------
    model : trained; it stays as it is.
    heads : (layers, heads), True for those whose attention becomes 1 / tokens.
    """

    def __init__(self, model: VisionTransformer, heads: Bool[Tensor, "layers heads"]):
        super().__init__()
        self.model, self.heads = model, heads

    def forward(self, images: Tensor) -> Float[Tensor, "batch classes"]:
        matrices = positional_attention(self.model)
        heads = self.heads.to(matrices.device)[:, :, None, None]
        matrices = matrices.masked_fill(heads, 1 / matrices.shape[-1])
        return fast_logits(self.model, images, matrices)


def as_many_others(
    heads: Bool[Tensor, "layers heads"], times: int, *, generator: torch.Generator
) -> Sequence[Bool[Tensor, "layers heads"]]:
    """`times` random choices of as many of the other heads; of all others where there are fewer, and none of none."""
    others = (~heads).flatten().nonzero()[:, 0]
    chosen = min(int(heads.sum()), len(others))
    choices = []
    for _ in range(times if chosen else 0):
        drawn = others[torch.randperm(len(others), generator=generator)[:chosen]]
        choices.append(torch.zeros_like(heads).flatten().index_fill(0, drawn, True).view_as(heads))
    return choices
