"""Moving the patches of images by one fixed permutation."""

from collections.abc import Sequence

from torch import Tensor, nn

from src.common.choices import check_multiple, check_positive
from src.common.shapes import Float, Int, Shaped


def permute_patches(
    images: Shaped[Tensor, "batch channels height width"],
    permutation: Int[Tensor, " patches"],
    patch_size: int,
) -> Shaped[Tensor, "batch channels height width"]:
    """Move the patches of every image by one fixed permutation; inside a patch nothing changes.

    Parameters
    ----------
    images : (batch, channels, height, width) of any type, height and width multiples of `patch_size`.
    permutation : (patches,), patches counted row by row: place i shows what was at ``permutation[i]``.
    patch_size : pixels per side of a patch.

    Returns
    -------
    The permuted images, a new tensor of the same shape, type and device.

    Raises
    ------
    ValueError : sides that are no multiples of `patch_size`, or indices that are no permutation.
    """
    rows, columns = _patch_grid(images, patch_size)
    check_permutation(permutation, rows * columns)
    return _move_patches(images, permutation, patch_size)


class Permuted(nn.Module):
    """A model that sees each image with its patches in another order, always the same; the order is no parameter.

    Parameters
    ----------
    model : images to logits.
    permutation : (patches,), as in `permute_patches`; ``torch.arange(patches)`` leaves the patches in their places.
    patch_size : pixels per side of a patch.

    Raises
    ------
    ValueError : indices that are no permutation and, when called, images with another number of patches.
    """

    def __init__(self, model: nn.Module, permutation: Int[Tensor, " patches"], patch_size: int):
        super().__init__()
        check_permutation(permutation, len(permutation))
        self.model, self.patch_size = model, patch_size
        # A buffer, so that it moves to the model's device; the state dict stays without it.
        self.register_buffer("permutation", permutation, persistent=False)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """The model's logits of the permuted images; nothing here waits for the device."""
        rows, columns = _patch_grid(images, self.patch_size)
        if len(self.permutation) != rows * columns:
            raise ValueError(
                f"images: expected {len(self.permutation)} patches, as many as permutation has, got {rows * columns}"
            )
        return self.model(_move_patches(images, self.permutation, self.patch_size))


def _patch_grid(images: Tensor, patch_size: int) -> tuple[int, int]:
    height, width = images.shape[-2:]
    check_positive(patch_size=patch_size)
    check_multiple("image height", height, "patch_size", patch_size)
    check_multiple("image width", width, "patch_size", patch_size)
    return height // patch_size, width // patch_size


def _move_patches(images: Tensor, permutation: Tensor, patch_size: int) -> Tensor:
    return from_patches(to_patches(images, patch_size)[:, :, permutation.to(images.device)], images.shape)


def to_patches(
    images: Shaped[Tensor, "batch channels height width"], patch_size: int
) -> Shaped[Tensor, "batch channels patches side side"]:
    """The patches of images, row by row. ValueError for sides that are no multiples of `patch_size`."""
    rows, columns = _patch_grid(images, patch_size)
    patches = images.unflatten(-1, (columns, patch_size)).unflatten(-3, (rows, patch_size))
    return patches.transpose(-3, -2).flatten(2, 3)


def from_patches(
    patches: Shaped[Tensor, "batch channels patches side side"], shape: Sequence[int]
) -> Shaped[Tensor, "batch channels height width"]:
    """Images of a shape (batch, channels, height, width) from their patches, row by row."""
    grid = (shape[-2] // patches.shape[-1], shape[-1] // patches.shape[-1])
    return patches.unflatten(2, grid).transpose(-3, -2).reshape(shape)


def check_permutation(permutation: Int[Tensor, " patches"], num_patches: int) -> None:
    """Refuse a tensor that does not hold each of 0 .. num_patches - 1 once.

    Raises
    ------
    ValueError : naming how many indices there are, and how many of them are distinct and in range.
    """
    distinct = {index for index in permutation.tolist() if 0 <= index < num_patches}
    if len(permutation) != num_patches or len(distinct) != num_patches:
        raise ValueError(
            f"permutation: expected each of 0..{num_patches - 1} once, got {len(permutation)} indices "
            f"of which {len(distinct)} are distinct and in range; torch.randperm({num_patches}) makes one"
        )
