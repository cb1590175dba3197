"""Folders of images: the class that folders or a file of labels give each, their names, and the images themselves."""

import re
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from src.common.choices import one_of
from src.vision.image_files import check, extensions, image_files, in_threads, try_to_read
from src.vision.image_sets import ImageSet, StreamedImages

LABEL_FILES = ("labels.csv", "labels.txt", "val_annotations.txt")
CLASS_NAMES_FILE = "classes.txt"
STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and standard deviation, those of ImageNet


@dataclass(frozen=True)
class FolderLimits:
    """What a folder of images may be like.

    max_corrupt : share of the images that may be unreadable; those are skipped with a warning.
    memory_budget : bytes; a folder that needs more as uint8 is streamed from disk.
    """

    max_corrupt: float = 0.001
    memory_budget: int = 4 * 2**30


def is_labelled(folder: Path) -> bool:
    """Whether it has classes: test sets of ImageNet and Tiny-ImageNet are images alone, there or in `images`."""
    return folder.is_dir() and bool(_label_file(folder) or set(_subfolders(folder)) - {"images"})


def _label_file(folder: Path) -> Path | None:
    return next((folder / file for file in LABEL_FILES if (folder / file).is_file()), None)


def _subfolders(folder: Path) -> list[str]:
    return sorted(
        entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )


def labelled_files(
    folder: Path, classes: tuple[str, ...] | None = None
) -> tuple[list[str], Tensor, tuple[str, ...]]:
    """Image files, labels, names of the classes; `classes` are those needed, None takes what is there."""
    file = _label_file(folder)
    class_of = _read_class_folders(folder) if file is None else _read_label_file(file)
    found = sorted(set(class_of.values()))
    classes = classes or tuple(found)
    for name in found:
        one_of(f"{file or folder}: class", name, classes)
    if missing := set(classes) - set(found):
        raise ValueError(
            f"{file or folder}: no images of class {min(missing)!r}, which train has; it is needed"
        )
    number = {name: i for i, name in enumerate(classes)}
    return list(class_of), torch.tensor([number[name] for name in class_of.values()]), classes


def _read_class_folders(folder: Path) -> dict[str, str]:
    """Class of each image below a folder of class folders."""
    class_of, known = {}, {}
    for name in _subfolders(folder):
        paths = image_files(folder / name, known)
        if not paths:
            raise FileNotFoundError(
                f"{folder / name}: no images of this class; one or more of {extensions()} are needed"
            )
        class_of |= dict.fromkeys(paths, name)
    if not class_of:
        raise FileNotFoundError(f"{folder}: no class folders; {folder}/<class>/<image> is needed")
    return class_of


def _read_label_file(file: Path) -> dict[str, str]:
    """Class of each image that a label file lists."""
    class_of = {}
    for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
        here = f"{file}, line {number}"
        image, name, *_ = [*(field.strip() for field in re.split(r"[\t,]", line)), ""]
        if not name:
            raise ValueError(
                f"{here}: {line[:60]!r}; an image and its class, comma or tab between, are needed"
            )
        path = next(
            (path for path in (file.parent / image, file.parent / "images" / image) if path.is_file()), None
        )
        if path is None or str(path) in class_of:
            fault = "does not exist" if path is None else "is listed twice"
            raise ValueError(f"{here}: image {image!r} {fault}; each image of the folder is needed, once")
        class_of[str(path)] = name
    for path in image_files(file.parent):
        if path not in class_of:
            raise ValueError(f"{file}: no class for {path}; each image of the folder is needed, once")
    return class_of


def class_names(root: Path, classes: tuple[str, ...]) -> tuple[str, ...]:
    """Readable names of the classes, from `classes.txt` if it is there; what it does not name stays as it is."""
    names: dict[str, str] = {}
    file = root / CLASS_NAMES_FILE
    for number, line in enumerate(file.read_bytes().splitlines() if file.is_file() else (), 1):
        here = f"{file}, line {number}"
        try:
            text = line.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise ValueError(f"{here}: {line[:60]!r} is no UTF-8, which is needed") from None
        folder, name, *_ = [*text.split(maxsplit=1), "", ""]
        if not name:
            raise ValueError(f"{here}: {text[:60]!r}; a class and its name, whitespace between, are needed")
        one_of(f"{here}: class", folder, classes)
        if folder in names:
            raise ValueError(f"{here}: class {folder!r} is named twice; one name is needed")
        names[folder] = name
    return tuple(names.get(folder, folder) for folder in classes)


def load_files(
    paths: list[str],
    labels: Tensor,
    classes: tuple,
    image_size: int | None,
    limits: FolderLimits,
) -> ImageSet | StreamedImages:
    """Decode the files into one tensor; above the budget only check that they can be decoded."""
    failed = {}
    if image_size is not None and 3 * image_size**2 * len(paths) > limits.memory_budget:
        failed = {row: error for row, error in enumerate(in_threads(check, paths)) if error}
        kept = _readable_rows(paths, failed, limits.max_corrupt)
        return StreamedImages(
            tuple(paths[row] for row in kept), labels[kept], classes, image_size, *STATISTICS
        )
    images = None
    for row, image in enumerate(in_threads(partial(try_to_read, image_size=image_size), paths)):
        if isinstance(image, Exception):
            failed[row] = image
            continue
        if images is None:
            images = torch.empty((len(paths), *image.shape), dtype=torch.uint8)
        if image.shape != images.shape[1:] or images.numel() > limits.memory_budget:
            (_, height, width), needed = (
                image.shape,
                "pixels per side, is needed for mixed sizes and large folders",
            )
            raise ValueError(f"image_size=None and {paths[row]} is {width} x {height}: image_size, {needed}")
        images[row] = image
    kept = _readable_rows(paths, failed, limits.max_corrupt)
    return ImageSet(images[kept] if failed else images, labels[kept], classes, *STATISTICS)


def _readable_rows(paths: list[str], failed: dict[int, Exception], max_corrupt: float) -> list[int]:
    if failed:
        named = ", ".join(f"{paths[row]} ({error})" for row, error in list(failed.items())[:5])
        fault = (
            f"{len(failed)} of {len(paths)} images cannot be read: {named}{', …' if len(failed) > 5 else ''}"
        )
        if len(failed) > max_corrupt * len(paths):
            allowed = f"FolderLimits(max_corrupt={max_corrupt}) is the share that may be skipped"
            raise ValueError(f"{fault}; {allowed}")
        warnings.warn(f"{fault}; skipped", stacklevel=4)
    return [row for row in range(len(paths)) if row not in failed]
