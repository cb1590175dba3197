"""Labelled images, in memory or on disk, and the batches of them that a training asks for."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from src.common.shapes import Int64, UInt8
from src.vision.image_files import read, workers

BLOCK_BYTES = 2**28  # of images that are handed on at once, so that work shared by many steps is done once


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images in memory; unpacks as ``images, labels = image_set``.

    Attributes
    ----------
    images : (n, 3, height, width), uint8, 0 to 255.
    labels : (n,), int64, indices into `classes`.
    classes : names of the classes.
    mean, std : per channel, of pixels in [0, 1]; used by `src.vision.augment.normalize`.

    Raises
    ------
    ValueError : labels that are not one for each image, or not indices of classes.
    """

    images: UInt8[Tensor, "_ 3 height width"]
    labels: Int64[Tensor, " _"]
    classes: tuple[str, ...]
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    def __post_init__(self):
        if len(self.labels) != len(self.images):
            raise ValueError(
                f"labels has length {len(self.labels)}; one for each of {len(self.images)} images is needed"
            )
        outside = self.labels[(self.labels < 0) | (self.labels >= len(self.classes))]
        if len(outside):
            raise ValueError(
                f"labels holds {int(outside[0])}; 0 to {len(self.classes) - 1}, indices of classes, is needed"
            )

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.images, self.labels))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_size(self) -> int:
        """Pixels per side."""
        return self.images.shape[-1]

    def digest(self) -> str:
        """16 hexadecimal digits of images and labels, in their order."""
        total = hashlib.sha256(self.images.cpu().contiguous().numpy())
        total.update(self.labels.cpu().contiguous().numpy())
        return total.hexdigest()[:16]

    def to(self, device: torch.device | str) -> "ImageSet":
        """The same set with its tensors on `device`."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def blocks(self, rows: Int64[Tensor, "steps batch"]) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches by row, k steps at a time: images (k, batch, 3, height, width), labels (k, batch)."""
        steps = max(1, BLOCK_BYTES // (rows.shape[1] * self.images[0].numel()))
        for block in rows.to(self.labels.device).split(steps):
            yield self.images[block], self.labels[block]


@dataclass(frozen=True, eq=False)
class StreamedImages:
    """Labelled images on disk, decoded by worker processes as batches are asked for.

    `fit` and `evaluate` take it in the place of an `ImageSet`, whose attributes it has, `images` excepted.
    """

    paths: tuple[str, ...]
    labels: Int64[Tensor, " n"]
    classes: tuple[str, ...]
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: torch.device | str = "cpu"

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        return read(self.paths[row], self.image_size), self.labels[row]

    def digest(self) -> str:
        """16 hexadecimal digits of the files' names and sizes, the side that they are read at, and the labels."""
        total = hashlib.sha256(self.labels.cpu().contiguous().numpy())
        total.update(f"{self.image_size}\n".encode())
        for path in self.paths:
            total.update(f"{Path(path).parent.name}/{Path(path).name} {os.path.getsize(path)}\n".encode())
        return total.hexdigest()[:16]

    def to(self, device: torch.device | str) -> "StreamedImages":
        """The same images, whose batches arrive on `device`."""
        return replace(self, device=device)

    def blocks(self, rows: Int64[Tensor, "steps batch"]) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches by row, one step at a time: images (1, batch, 3, size, size), labels (1, batch)."""
        loader = torch.utils.data.DataLoader(
            self,
            batch_sampler=rows.tolist(),
            num_workers=workers(),
            pin_memory=torch.device(self.device).type == "cuda",
            generator=torch.Generator(),  # else the loader draws from the global one
        )
        for images, labels in loader:
            yield images[None].to(self.device, non_blocking=True), labels[None].to(self.device)
