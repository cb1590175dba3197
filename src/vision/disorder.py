"""Images whose places no longer say where: patches moved anew for every image, or pixels moved by a smooth map."""

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from src.common.shapes import Float, Int64, UInt8
from src.vision.permutation import check_permutation, from_patches, to_patches


def random_orders(
    count: int, num_patches: int, *, generator: torch.Generator
) -> Int64[Tensor, "count patches"]:
    """Permutations of the patches, a row each, drawn uniformly and independently."""
    return torch.rand(count, num_patches, generator=generator, dtype=torch.float64).argsort(dim=1)


def permute_each(
    images: UInt8[Tensor, "n channels height width"], orders: Int64[Tensor, "n patches"], patch_size: int
) -> UInt8[Tensor, "n channels height width"]:
    """Move the patches of each image by its own permutation; inside a patch nothing changes.

    Parameters
    ----------
    orders : (n, patches), patches counted row by row: place i of image k shows what was at ``orders[k, i]``.
    patch_size : pixels per side of a patch; divides height and width.

    Raises
    ------
    ValueError : the first image's indices are no permutation of its patches.
    """
    patches = to_patches(images, patch_size)
    check_permutation(orders[0], patches.shape[2])
    index = orders.to(images.device)[:, None, :, None, None].expand_as(patches)
    return from_patches(patches.gather(2, index), images.shape)


def swirl(size: int, turns: float) -> Float[Tensor, "size size 2"]:
    """Where each pixel of a swirled square comes from: (row, column), the square's sides at -1 and 1.

    Rings about the centre turn as a whole, by ``turns (1 - r²)²`` full turns at radius r, and not at all from r = 1 on.
    So the square is mapped onto itself and no area changes, but neighbours across rings are pulled apart.
    """
    middles = (2 * torch.arange(size, dtype=torch.float64) + 1) / size - 1
    row, column = torch.meshgrid(middles, middles, indexing="ij")
    angle = 2 * torch.pi * turns * (1 - (row**2 + column**2).clamp(max=1)) ** 2
    cosine, sine = angle.cos(), angle.sin()
    return torch.stack([cosine * row - sine * column, sine * row + cosine * column], dim=-1)


def warp(
    images: UInt8[Tensor, "n channels size size"], sources: Float[Tensor, "size size 2"]
) -> UInt8[Tensor, "n channels size size"]:
    """Each pixel takes the colour at its source, between four pixels' middles by bilinear weights, rounded.

    Parameters
    ----------
    sources : (size, size, 2), as `swirl` gives them.
    """
    columns_first = sources.flip(-1).to(images.device, torch.float32).expand(len(images), -1, -1, -1)
    sampled = grid_sample(images.float(), columns_first, padding_mode="border", align_corners=False)
    return sampled.round().clamp(0, 255).to(torch.uint8)


def source_distance(
    sources: Float[Tensor, "size size 2"], patch_size: int
) -> Float[Tensor, "patches patches"]:
    """Distances between the places that patches come from, in patches: from mean to mean of their pixels' sources.

    Those of the grid itself where nothing is moved.
    """
    per_patch = to_patches(sources.permute(2, 0, 1)[None], patch_size).mean(dim=(-2, -1))[0].T
    places = per_patch * len(sources) / (2 * patch_size)
    return (places[:, None] - places[None]).square().sum(dim=-1).sqrt()
