"""Augmentation of whole batches on the device: draws first, then the tensor operations that use them.

The draws of an epoch are made at once, on the CPU and for the global batch, so that neither the device nor
the number of processes changes them. What a step does with them (`augment`) is a fixed list of operations.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from src.common.choices import check_share, one_of, refusal
from src.common.shapes import Bool, Float, Int64, Shaped, UInt8

POLICIES = ("autoaugment-cifar10", "autoaugment-svhn", "autoaugment-imagenet", "randaugment")
POLICY_DRAWS = 256  # of a policy in an epoch, shared out at random among its images

Draws = Mapping[str, Tensor]


@dataclass(frozen=True)
class Augmentation:
    """What is done to training images, in this order: policy, crop and flip, normalization, mixing.

    Attributes
    ----------
    crop_padding : pixels of black border, out of which a crop of the image's size is taken at random.
    flip : mirror half of the images.
    resized_crop : smallest share s of the area that is drawn for a random rectangle (3:4 to 4:3), which is then
        resized to the image's size; 0 for none. It takes the place of `crop_padding`. A side that comes out longer
        than the image's is cut to it: above s = 3/4 as little as sqrt(3 s / 4) of the area may be left.
    policy : "autoaugment-cifar10", "autoaugment-svhn", "autoaugment-imagenet", "randaugment"; None for none.
    mixup, cutmix : parameter of the Beta distribution of the mixing share; 0 for none. With both, each image
        has one or the other with equal chance.

    Raises
    ------
    ValueError : a value outside its range, or both kinds of crop.

    References
    ----------
    Mixup: Zhang et al. 2018. CutMix: Yun et al. 2019. AutoAugment and RandAugment: Cubuk et al. 2019, 2020,
    as implemented by torchvision.
    """

    crop_padding: int = 4
    flip: bool = True
    resized_crop: float = 0.0
    policy: str | None = None
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self):
        for name in ("crop_padding", "resized_crop", "mixup", "cutmix"):
            if getattr(self, name) < 0:
                raise ValueError(refusal(name, getattr(self, name), "a number >= 0", 0))
        check_share(resized_crop=self.resized_crop)
        if self.resized_crop and self.crop_padding:
            raise ValueError(refusal("crop_padding", self.crop_padding, "no padding beside resized_crop", 0))
        if self.policy is not None:
            one_of("policy", self.policy, POLICIES)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Draws:
        """Random choices for images arranged in `shape`, on the CPU; only those that this augmentation needs.

        Returns
        -------
        One tensor a name, `shape` and, where said, one more axis:
        policy : seed of the policy's own draw.
        offset (2) : pixels down and right, from -crop_padding to crop_padding.
        flip : bool.
        window (4) : top, left, height and width of the rectangle, as shares of the image's sides.
        share, cut, center (2) : the image's own share, CutMix or mixup, middle of the box as shares of the sides.
        """
        draws = {}
        if self.policy is not None:
            seeds = torch.randint(2**62, (POLICY_DRAWS,), generator=generator)
            draws["policy"] = seeds[torch.randint(POLICY_DRAWS, shape, generator=generator)]
        if self.crop_padding:
            span = (-self.crop_padding, self.crop_padding + 1)
            draws["offset"] = torch.randint(*span, (*shape, 2), generator=generator)
        if self.flip:
            draws["flip"] = torch.rand(shape, generator=generator) < 0.5
        if self.resized_crop:
            draws["window"] = _draw_window(shape, self.resized_crop, generator)
        if self.mixup or self.cutmix:
            either = bool(self.mixup and self.cutmix)
            cut = torch.rand(shape, generator=generator) < (0.5 if either else float(self.cutmix > 0))
            seed = int(torch.randint(2**62, (), generator=generator))
            parameter = torch.where(cut, self.cutmix, self.mixup).numpy()
            share = np.random.default_rng(seed).beta(parameter, parameter)  # torch's takes no generator
            draws |= {"share": torch.from_numpy(share).float(), "cut": cut}
            draws["center"] = torch.rand((*shape, 2), generator=generator)
        return draws


UNCHANGED = Augmentation(crop_padding=0, flip=False)


def standard_augmentation(name: str, image_size: int) -> Augmentation:
    """Crop with a border of an eighth of the side and, unless they show digits, flip.

    Parameters
    ----------
    name : as in `load_images`; a folder whose name begins with "svhn" holds digits.
    image_size : pixels per side.
    """
    shows_digits = Path(name).name.startswith(("digits", "svhn"))
    return Augmentation(crop_padding=image_size // 8, flip=not shows_digits)


def augment(
    images: UInt8[Tensor, "batch channels height width"],
    labels: Int64[Tensor, " batch"],
    draws: Draws,
    *,
    num_classes: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> tuple[Float[Tensor, "batch channels height width"], Shaped[Tensor, "batch ..."]]:
    """Crop, flip, normalize and mix a batch as `draws` say; the policy is apart, see `apply_policy`.

    Returns
    -------
    The model's input, and the labels as they were or, mixed, a share for each class (batch, num_classes).
    """
    if "offset" in draws or "flip" in draws:
        images = crop_and_flip(images, draws.get("offset"), draws.get("flip"))
    inputs = normalize(images, mean, std)
    if "window" in draws:
        inputs = resized_crop(inputs, draws["window"])
    if "share" in draws:
        return mix(inputs, labels, num_classes, draws["share"], draws["cut"], draws["center"])
    return inputs, labels


def normalize(
    images: UInt8[Tensor, "batch channels height width"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Tensor, "batch channels height width"]:
    """Pixels of 0 to 255 to zero mean and unit variance; `mean` and `std` are of pixels in [0, 1]."""
    scale, shift = _scale_and_shift(mean, std, images.device)
    return images * scale + shift


@lru_cache(maxsize=16)
def _scale_and_shift(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    # Kept on the device: a step must not wait for a copy.
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (mean, std))
    return 1 / (255 * std), -mean / std


def crop_and_flip(
    images: UInt8[Tensor, "batch channels height width"],
    offset: Int64[Tensor, "batch 2"] | None,
    flip: Bool[Tensor, " batch"] | None,
) -> UInt8[Tensor, "batch channels height width"]:
    """Move each image's window by `offset` (pixels down, right), black beyond the border, then mirror it."""
    batch, channels, height, width = images.shape
    y = torch.arange(height, device=images.device).expand(batch, -1)
    x = torch.arange(width, device=images.device).expand(batch, -1)
    if flip is not None:
        x = torch.where(flip[:, None], width - 1 - x, x)
    if offset is not None:
        y, x = y + offset[:, :1], x + offset[:, 1:]
    inside = ((y >= 0) & (y < height))[:, None, :, None] & ((x >= 0) & (x < width))[:, None, None, :]
    y, x = y.clamp(0, height - 1)[:, None, :, None], x.clamp(0, width - 1)[:, None, None, :]
    image, channel = (torch.arange(n, device=images.device) for n in (batch, channels))
    return images[image[:, None, None, None], channel[:, None, None], y, x] * inside


def resized_crop(
    inputs: Float[Tensor, "batch channels height width"], window: Float[Tensor, "batch 4"]
) -> Float[Tensor, "batch channels height width"]:
    """Each image's window (top, left, height, width, shares of the sides) enlarged to the whole, bilinear."""
    top, left, height, width = window.unbind(1)
    zero = torch.zeros_like(top)
    rows = torch.stack([width, zero, 2 * left + width - 1, zero, height, 2 * top + height - 1], 1)
    grid = F.affine_grid(rows.view(-1, 2, 3), list(inputs.shape), align_corners=False)
    return F.grid_sample(inputs, grid, padding_mode="border", align_corners=False)


def mix(
    inputs: Float[Tensor, "batch channels height width"],
    labels: Int64[Tensor, " batch"],
    num_classes: int,
    share: Float[Tensor, " batch"],
    cut: Bool[Tensor, " batch"],
    center: Float[Tensor, "batch 2"],
) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, "batch num_classes"]]:
    """Mix each image with its neighbour in the batch, evenly (mixup) or inside a box (CutMix), labels too.

    The neighbours are images 0 and 1, 2 and 3, and so on: in a shuffled batch as random as any pairs, and no
    pair is torn when the batch is divided among processes.
    """
    if len(labels) % 2:
        raise ValueError(
            f"a batch of {len(labels)} images cannot be mixed in pairs; the nearest: {len(labels) + 1}"
        )
    height, width = inputs.shape[2:]
    half = (1 - share).sqrt() / 2  # of the box's sides, as shares of the image's
    y = (torch.arange(height, device=inputs.device) + 0.5) / height
    x = (torch.arange(width, device=inputs.device) + 0.5) / width
    in_rows = (y - center[:, :1]).abs() < half[:, None]
    in_columns = (x - center[:, 1:]).abs() < half[:, None]
    outside = ~(in_rows[:, :, None] & in_columns[:, None, :])
    own = torch.where(cut[:, None, None], outside, share[:, None, None])[:, None]
    target = F.one_hot(labels, num_classes).to(inputs.dtype)
    label_share = own.mean((1, 2, 3))[:, None]  # of a box that the border cuts off, what is left of it
    mixed = own * inputs + (1 - own) * _neighbours(inputs)
    return mixed, label_share * target + (1 - label_share) * _neighbours(target)


def _neighbours(values: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
    return values.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)


def apply_policy(
    images: UInt8[Tensor, "n channels height width"], policy: str, seeds: Int64[Tensor, " n"]
) -> UInt8[Tensor, "n channels height width"]:
    """AutoAugment or RandAugment of torchvision; images of one seed get the same operations.

    torchvision draws once for all images of a call. Here it draws once for each seed, without images; then every
    operation of a stage, of which a policy has few, is one call on all images that any seed gives it to. An image's
    draw is as random as one of its own, but some other images of the epoch share it: the draws are `POLICY_DRAWS`
    in number. The global random stream, which torchvision uses, is left as it was.

    Parameters
    ----------
    seeds : on the CPU, where torchvision draws; the images may be elsewhere.
    """
    transform = _recording_policy(policy)
    values, which = seeds.unique(return_inverse=True)
    drawn = [transform.record(seed, images[:1]) for seed in values.tolist()]
    images = images.clone()
    for stage in range(max(map(len, drawn), default=0)):
        shared: dict[tuple, list[int]] = {}
        for index, operations in enumerate(drawn):
            if stage < len(operations):
                shared.setdefault(operations[stage], []).append(index)
        for operation, indices in shared.items():
            rows = (
                torch.isin(which, torch.tensor(indices)).nonzero()[:, 0].to(images.device, non_blocking=True)
            )
            images[rows] = transform.apply(images[rows], operation)
    return images


@lru_cache
def _recording_policy(policy: str):
    """torchvision's policy, which tells the operations that it draws, (name, magnitude), and applies one when asked."""
    from torchvision.transforms import v2

    kind = v2.RandAugment if policy == "randaugment" else v2.AutoAugment

    class Recording(kind):
        def record(self, seed: int, example: Tensor) -> list[tuple[str, float]]:
            self.operations = []
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed every device
                self(example)
            return self.operations

        def _apply_image_or_video_transform(self, image, name, magnitude, **options):
            self.operations.append((name, magnitude))
            return image

        def apply(self, images: Tensor, operation: tuple[str, float]) -> Tensor:
            return super()._apply_image_or_video_transform(
                images, *operation, interpolation=self.interpolation, fill=self._fill
            )

    if policy == "randaugment":
        return Recording()
    return Recording(v2.AutoAugmentPolicy(policy.removeprefix("autoaugment-")))


def _draw_window(
    shape: tuple[int, ...], smallest: float, generator: torch.Generator
) -> Float[Tensor, "*shape 4"]:
    area = torch.rand(shape, generator=generator) * (1 - smallest) + smallest
    ratio = ((torch.rand(shape, generator=generator) * 2 - 1) * math.log(4 / 3)).exp()
    size = torch.stack([(area / ratio).sqrt(), (area * ratio).sqrt()], -1).clamp(max=1)
    corner = torch.rand((*shape, 2), generator=generator) * (1 - size)
    return torch.cat([corner, size], -1)
