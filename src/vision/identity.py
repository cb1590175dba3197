"""What a training must be known by, for another to go on from its checkpoint or to run beside it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor, nn

from src.vision.image_sets import ImageSet, StreamedImages
from src.vision.settings import FREE_ON_RESUME, TrainingSettings


def identity(
    models: Sequence[nn.Module],
    seeds: Sequence[int],
    data: Mapping[str, ImageSet | StreamedImages | None],
    settings: TrainingSettings,
    precision: str,
) -> dict[str, Any]:
    """All that must be the same for a resumed run to continue a trajectory, by name.

    The models' architecture and fixed tensors (a permutation of patches, say), the bytes of images (of streamed
    ones, the names and sizes of their files) and of labels in their order, how it is trained, and from which seeds.
    """
    known = {name: value for name, value in asdict(settings).items() if name not in FREE_ON_RESUME | {"seed"}}
    known |= {f"augmentation.{name}": value for name, value in known.pop("augmentation").items()}
    for name, images in data.items():
        if images is not None:
            known |= {f"{name} images": len(images), f"{name} data": images.digest()}
            known[f"{name} statistics"] = [images.classes, images.mean, images.std]
    for index, model in enumerate(models):
        parts = architecture(model) | {name: _digest(tensor) for name, tensor in model.named_buffers()}
        known |= {f"model {index}: {name}": value for name, value in parts.items()}
    return known | {"precision": precision, "seed": list(seeds)}


def architecture(model: nn.Module) -> dict[str, Any]:
    """All that makes two models compute the same from the same weights, by name."""
    parts: dict[str, Any] = {}
    for path, module in model.named_modules():
        parts[f"{path}.type"] = type(module).__name__
        plain = {k: v for k, v in vars(module).items() if isinstance(v, int | float | str | tuple | None)}
        parts |= {f"{path}.{name}": value for name, value in plain.items() if name != "training"}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        parts[name] = (tuple(tensor.shape), str(tensor.dtype))
    parts |= {
        f"{name} is learned": False for name, each in model.named_parameters() if not each.requires_grad
    }
    return {name.removeprefix("."): part for name, part in parts.items()}


def _digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()[:16]
