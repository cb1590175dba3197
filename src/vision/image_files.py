"""Image files: which of them a folder holds, and the picture in one."""

import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from torch import Tensor

from src.common.shapes import UInt8


def image_files(folder: Path, known: dict[tuple[int, int], str] | None = None) -> list[str]:
    """Image files at any depth, sorted; hidden files are other programs' traces.

    Links are followed, but each folder is visited once, and two paths to one file are refused: an image that is there
    twice could be in the training and in the test set. `known` are the files of other classes; it gains these.
    """
    found, known, nameless = [], {} if known is None else known, 0
    visited = {_identity(folder)}
    for base, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        new = {_identity(Path(base, name)): name for name in sorted(folders, reverse=True)}
        folders[:] = sorted(name for identity, name in new.items() if identity not in visited)
        visited |= new.keys()
        for path in (os.path.join(base, file) for file in files if not file.startswith(".")):
            nameless += not os.path.splitext(path)[1]
            if path.lower().endswith(extensions()) and os.path.isfile(path):
                first = known.setdefault(_identity(path), path)
                if first != path:
                    raise ValueError(f"{path} and {first} are one file; each image is needed once")
                found.append(path)
    if nameless:
        warnings.warn(
            f"{folder}: {nameless} file(s) without an ending such as .png are left out", stacklevel=2
        )
    return sorted(found)


def _identity(path: str | Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _raise(error: OSError) -> None:
    raise error


def extensions() -> tuple[str, ...]:
    """Endings of image files, torchvision's."""
    from torchvision.datasets.folder import IMG_EXTENSIONS

    return IMG_EXTENSIONS


def read(path: str, image_size: int | None) -> UInt8[Tensor, "3 height width"]:
    """One image file as RGB, as torchvision's loader and its Resize and CenterCrop make it."""
    from PIL import Image
    from torchvision.transforms.v2 import functional

    with Image.open(path) as opened:
        _check_kind(opened)
        image = opened.convert("RGB")
    if image_size is not None:
        image = functional.center_crop(functional.resize(image, [image_size]), [image_size, image_size])
    return functional.pil_to_tensor(image)


def _check_kind(image: Any) -> None:
    """Refuse what is no picture of 8 bits a channel, or several: converted, it would be white, or one of many."""
    if image.mode == "F" or image.mode.startswith("I"):
        raise ValueError(f"mode {image.mode}; 8 bits a channel are needed")
    # a photograph in MPO format is followed by a preview of itself
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise ValueError(f"{image.n_frames} frames; one picture is needed")


def try_to_read(path: str, image_size: int | None) -> Tensor | Exception:
    """As `read`, or what went wrong."""
    try:
        return read(path, image_size)
    # Pillow raises OSError, SyntaxError, ValueError, struct.error … on damaged files
    except Exception as error:
        return error


def check(path: str) -> Exception | None:
    """None if the file can be decoded to its end; a JPEG at an eighth of its size, which is faster."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            _check_kind(image)
            image.draft(None, (1, 1))
            image.load()
    except Exception as error:
        return error


def in_threads(function: Callable, paths: list[str]) -> Iterator:
    """What the function gives for each path, in their order, from as many threads as there are `workers`."""
    with ThreadPoolExecutor(workers()) as pool:
        for start in range(0, len(paths), 1024):  # in portions, so that results never pile up
            yield from pool.map(function, paths[start : start + 1024])


def workers() -> int:
    """Cores for each of the processes that torchrun may have started on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(16, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))
