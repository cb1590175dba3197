"""Checkpoints: a file that knows what it was written for, refused by name for anything else, and whole or not there.

The first line holds the SHA-256 of the rest, which is `torch.save`'s. So a flipped bit is found before it is believed.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from src.common.folders import write_whole
from src.vision.images import ImageSet, StreamedImages
from src.vision.settings import FREE_ON_RESUME, TrainingSettings

MARK = b"spatial-structure checkpoint 2, sha256 "


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
    return {name.removeprefix("."): part for name, part in parts.items()}


def _digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()[:16]


def write(path: Path, known: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write a checkpoint; at no time is there half a one under its name.

    Raises
    ------
    ValueError : the state holds what a checkpoint cannot keep.
    """
    buffer = io.BytesIO()
    torch.save({"written for": dict(known), **state}, buffer)
    buffer.seek(0)
    if kinds := torch.serialization.get_unsafe_globals_in_checkpoint(buffer):
        needed = "numbers, strings, tensors, and lists and dicts of them, are needed"
        raise ValueError(f"callback returned {', '.join(kinds)}, which a checkpoint cannot keep; {needed}")
    content = buffer.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, MARK + hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def read(path: Path, known: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state that was written for the same; None where there is no file.

    Raises
    ------
    ValueError : a damaged or foreign file, or one written for something else, which is named.
    """
    if not path.exists():
        return None
    first, _, content = path.read_bytes().partition(b"\n")
    if first != MARK + hashlib.sha256(content).hexdigest().encode():
        raise ValueError(
            f"{path}: not a whole checkpoint of fit; another file, or none to start anew, is needed"
        )
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    before = state.pop("written for")
    for name in {**before, **known}:
        if before.get(name) != known.get(name):
            was, now = (_short(each.get(name)) for each in (before, known))
            raise ValueError(
                f"{path}: written with {name}={was}, now {now}; the same value is needed to resume"
            )
    return state


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
