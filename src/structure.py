"""Spatial structure: a partition of the patches into sets, and how far an attention matrix has found it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from src.common.choices import nearest_divisor
from src.common.shapes import Bool, Float, Int


@dataclass(frozen=True, eq=False)
class Partition:
    """Partition of the patches 0 … D - 1 into L sets of C patches each.

    Parameters
    ----------
    sets : (L, C) integers; row l holds the patches of set l. Each patch occurs exactly once.

    Raises
    ------
    ValueError : where a patch is missing, repeated or out of range.
    """

    sets: Int[Tensor, "sets size"]

    def __post_init__(self) -> None:
        patches = self.sets.flatten().sort().values
        expected = torch.arange(patches.numel(), device=patches.device)
        if not torch.equal(patches, expected):
            raise ValueError(
                f"sets = {self.sets.tolist()}: each patch 0 … {patches.numel() - 1} is needed exactly once"
            )

    @classmethod
    def contiguous(cls, num_patches: int, set_size: int) -> "Partition":
        """Sets of neighbours in reading order: {0 … C-1}, {C … 2C-1}, …"""
        check_set_size(num_patches, set_size)
        return cls(torch.arange(num_patches).reshape(-1, set_size))

    @classmethod
    def random(
        cls, num_patches: int, set_size: int, *, generator: torch.Generator | None = None
    ) -> "Partition":
        """Sets drawn uniformly: nothing about where a patch lies tells its set."""
        check_set_size(num_patches, set_size)
        device = generator.device if generator is not None else "cpu"
        order = torch.randperm(num_patches, generator=generator, device=device).cpu()
        return cls(order.reshape(-1, set_size).sort(dim=1).values)

    @classmethod
    def blocks(cls, height: int, width: int, block: int) -> "Partition":
        """Localized sets: squares of `block` x `block` patches on a grid of `height` x `width` patches."""
        for name, side in (("height", height), ("width", width)):
            if block < 1 or side < 1 or side % block:
                nearest = nearest_divisor(side, block) if side >= 1 else 1
                raise ValueError(
                    f"block = {block} does not divide {name} = {side}; the nearest that does: {nearest}"
                )
        grid = torch.arange(height * width).reshape(height // block, block, width // block, block)
        return cls(grid.transpose(1, 2).reshape(-1, block * block))

    @property
    def num_sets(self) -> int:
        """L"""
        return self.sets.shape[0]

    @property
    def set_size(self) -> int:
        """C"""
        return self.sets.shape[1]

    @property
    def same_set(self) -> Bool[Tensor, "patches patches"]:
        """(D, D): True where two patches share a set."""
        return self.membership[:, None] == self.membership

    @property
    def num_patches(self) -> int:
        """D = L C"""
        return self.sets.numel()

    @property
    def membership(self) -> Int[Tensor, " patches"]:
        """(D,): the index of the set that each patch belongs to."""
        membership = torch.empty_like(self.sets.flatten())
        membership[self.sets] = torch.arange(self.num_sets, device=self.sets.device)[:, None]
        return membership

    def to(self, device: torch.device | str) -> "Partition":
        """The same partition with its tensors on `device`."""
        return Partition(self.sets.to(device))


def patch_association(
    attention_logits: Float[Tensor, "*runs patches patches"], partition: Partition, *, by_value: bool = False
) -> Float[Tensor, "*runs patches"]:
    """Share of row i's top C entries that lie inside patch i's own set.

    1 for every row is the paper's *patch association* (Definition 2.2). The diagonal counts first: a row that has
    found nobody scores 1 / C, and a row of random logits (1 + (C - 1)² / (D - 1)) / C on average.

    Parameters
    ----------
    attention_logits : (…, D, D), before or after the softmax: only the order within a row matters.
    partition : the hidden partition of the D patches.
    by_value : the strict reading, in which the diagonal competes by its value as every entry does; then random
        logits score C / D, and a row whose top C has no patch of its own set, not even itself, scores 0.

    Returns
    -------
    (…, D), in [0, 1].

    Notes
    -----
    The yes-or-no property is the paper's; this score is the companion's. Where the diagonal is held below its row's
    top C, the strict score is lower; nowhere is it higher.
    """
    expected = (partition.num_patches,) * 2
    if attention_logits.shape[-2:] != expected:
        raise ValueError(
            f"attention_logits has shape {tuple(attention_logits.shape)}; (…, D, D) = {expected} is needed"
        )
    if not by_value:
        own = torch.eye(partition.num_patches, dtype=torch.bool, device=attention_logits.device)
        attention_logits = attention_logits.masked_fill(own, torch.inf)
    top = attention_logits.topk(partition.set_size, dim=-1).indices
    membership = partition.membership.to(attention_logits.device)
    inside = membership[top] == membership[:, None]
    return inside.to(attention_logits.dtype).mean(-1)


def check_set_size(num_patches: int, set_size: int) -> None:
    """Raise ValueError unless sets of `set_size` patches can partition `num_patches` patches."""
    if num_patches < 1:
        raise ValueError(f"num_patches = {num_patches}: an integer >= 1 is needed")
    if set_size < 1 or num_patches % set_size:
        nearest = nearest_divisor(num_patches, set_size)
        raise ValueError(
            f"set_size = {set_size} does not divide num_patches = {num_patches}; the nearest that does: {nearest}"
        )
