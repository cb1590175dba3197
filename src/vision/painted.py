"""Pictures painted from vectors: each patch of an image holds one patch of the theory's distribution."""

import torch
from torch import Tensor

from src.common.shapes import Float
from src.vision.image_sets import ImageSet

SPREAD = 0.1  # of a pixel's range from black to white: what one standard deviation becomes


def paint(patches: Float[Tensor, "n patches dim"], label: Float[Tensor, " n"], patch_size: int) -> ImageSet:
    """Square pictures of 8 bits a channel around mid-grey, normalized back by their own mean and std.

    Parameters
    ----------
    patches : (n, D, d), d = 3 patch_size²: channel, row and column of a patch, of variance about 1 / d each.
        Patch j lies at row j // side and column j % side of the picture's grid, side = sqrt(D).
    label : (n,) in {-1, +1}, which become classes 0 and 1.

    Raises
    ------
    ValueError : D is no square, or d is another number.
    """
    (n, num_patches, dim), side = patches.shape, round(patches.shape[1] ** 0.5)
    if side**2 != num_patches:
        raise ValueError(f"patches has {num_patches} patches; a square, {side**2}, is needed")
    if dim != 3 * patch_size**2:
        raise ValueError(f"patches has dimension {dim}; 3 patch_size² = {3 * patch_size**2} is needed")
    pixels = (255 * (0.5 + SPREAD * dim**0.5 * patches)).round_().clamp_(0, 255).to(torch.uint8)
    on_grid = pixels.view(n, side, side, 3, patch_size, patch_size).permute(0, 3, 1, 4, 2, 5)
    size = side * patch_size
    images = on_grid.reshape(n, 3, size, size)
    return ImageSet(images, (label > 0).long(), ("-1", "+1"), (0.5,) * 3, (SPREAD,) * 3)
