"""Images and labels: four known sets and any image folder, as uint8 tensors or streamed from disk.

Three splits, never mixed. `test` is the official test set; `validation` is carved off the training data by a
fixed rule; `train` is the rest. Where there is no test set (`digits`, a plain folder) it is carved off first.
"""

import hashlib
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from src.common.choices import called, one_of, refusal
from src.common.seeding import child_generator
from src.common.shapes import Int64, UInt8

NAMES = ("digits", "cifar10", "cifar100", "svhn", "imagefolder")
SPLITS = ("train", "validation", "test")
VALIDATION_SHARE, TEST_SHARE = 0.1, 0.2
SPLIT_SEED = 0  # not the run's seed: splits, and the subsets that `limit` takes, are the same for every run
LABEL_FILES = ("labels.csv", "labels.txt", "val_annotations.txt")
CLASS_NAMES_FILE = "classes.txt"
BLOCK_BYTES = 2**28  # of images that are handed on at once, so that work shared by many steps is done once

# Mean and standard deviation of each channel, pixels in [0, 1]; for a folder those of ImageNet.
STATISTICS = {
    "digits": ((0.305,) * 3, (0.376,) * 3),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "svhn": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    "imagefolder": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


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
        return _read(self.paths[row], self.image_size), self.labels[row]

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
            num_workers=_workers(),
            pin_memory=torch.device(self.device).type == "cuda",
            generator=torch.Generator(),  # else the loader draws from the global one
        )
        for images, labels in loader:
            yield images[None].to(self.device, non_blocking=True), labels[None].to(self.device)


@dataclass(frozen=True)
class FolderLimits:
    """What a folder of images may be like.

    max_corrupt : share of the images that may be unreadable; those are skipped with a warning.
    memory_budget : bytes; a folder that needs more as uint8 is streamed from disk.
    """

    max_corrupt: float = 0.001
    memory_budget: int = 4 * 2**30


def data_folder() -> Path:
    """Where data sets are looked for: the folder that SPATIAL_DATA names, else `data`."""
    return Path(os.environ.get("SPATIAL_DATA", "data")).expanduser()


def load_images(
    name: str,
    root: str | os.PathLike | None = None,
    split: str = "train",
    limit: int | None = None,
    *,
    image_size: int | None = None,
    download: bool = False,
    folder_limits: FolderLimits = FolderLimits(),
) -> ImageSet | StreamedImages:
    """Images and labels of one split.

    Parameters
    ----------
    name : `digits` (8 x 8, part of scikit-learn); `cifar10`, `cifar100`, `svhn` (torchvision's files, layout
        and checksums, under `root`); `imagefolder` (`root` itself), or a folder, as given or below `root`.
    root : folder of the data; None reads the environment variable SPATIAL_DATA, else `data`.
    split : "train", "validation" or "test".
    limit : how many images in all, as evenly over the classes as these allow; None takes all. The choice is
        fixed, and a smaller one is part of a larger one.
    image_size : pixels per side. A folder's images have their shorter side resized and their centre cropped
        (None: left as they are, all of one size); other sets are resized.
    download : fetch missing files of `cifar10`, `cifar100` or `svhn` into `root`.
    folder_limits : of a folder: how much of it may be unreadable, and how much is held in memory.

    Returns
    -------
    An `ImageSet`, or `StreamedImages` for a folder above the budget.

    Raises
    ------
    ValueError, FileNotFoundError : one line that names the argument or the file, and what is needed.

    Notes
    -----
    Validation: of each class the last 10 % of a seeded permutation of the training data, at least one image.
    Test, where there is none: likewise the last 20 %, taken before.

    A folder holds ``train/<class>/*`` with ``val/<class>/*`` or ``test/<class>/*``, which is the test set
    (with both, `val` is the validation set), or ``<class>/*`` alone. In the place of class folders there may
    be a file `labels.csv`, `labels.txt` or `val_annotations.txt`: ``image,class`` a line, comma or tab, no
    header. A file `classes.txt` in the data set's own folder, above `train`, may give the classes readable
    names, UTF-8: the class folder, whitespace, its name, a class a line, no header; without a line a class
    is called as its folder. Labels are in the order of the folders' names either way.
    """
    root = data_folder() if root is None else Path(root).expanduser()
    one_of("split", split, SPLITS)
    if name == "digits":
        pool = _digits()
    elif name in NAMES[1:4]:
        pool = _official(name, root, split, download)
    else:
        pool = _folder(_folder_named(name, root), split, partial(_load_files, limits=folder_limits))
    rows = _rows_of(split, pool)
    if limit is not None:
        rows = _balanced(pool.labels, rows, limit)
    return pool.load(rows, image_size)


def _folder_named(name: str, root: Path) -> Path:
    candidates = (root,) if name == "imagefolder" else (Path(name).expanduser(), root / name)
    folder = next((folder for folder in candidates if folder.is_dir()), None)
    if folder is None:
        one_of("name", name, NAMES, " or a folder")
        needed = f"{called('root')} (or SPATIAL_DATA) must be a folder of images"
        raise FileNotFoundError(f"{root}: no such folder; {needed}")
    return folder


# --- which rows ---


@dataclass(frozen=True, eq=False)
class _Pool:
    """Labels of the images in one place, the splits it `holds`, and how rows of it are loaded."""

    labels: Int64[Tensor, " n"]
    classes: tuple[str, ...]
    holds: tuple[str, ...]
    load: Callable[[Tensor, int | None], ImageSet | StreamedImages]


def _rows_of(split: str, pool: _Pool) -> Int64[Tensor, " rows"]:
    fewest, smallest = torch.bincount(pool.labels, minlength=len(pool.classes)).min(0)
    if fewest < (needed := len(pool.holds)):
        few = f"class {pool.classes[smallest]!r} has {fewest} image(s)"
        raise ValueError(f"{few}; {needed} or more are needed for {', '.join(pool.holds)}")
    rows = torch.arange(len(pool.labels))
    for part, share in (("test", TEST_SHARE), ("validation", VALIDATION_SHARE)):
        if part in pool.holds and len(pool.holds) > 1:
            rank, count = _rank_in_class(pool.labels[rows], part)
            held = rank >= count - (share * count).round().clamp(min=1)
            if split == part:
                return rows[held]
            rows = rows[~held]
    return rows


def _balanced(labels: Int64[Tensor, " n"], rows: Int64[Tensor, " m"], limit: int) -> Int64[Tensor, " limit"]:
    if not 1 <= limit <= len(rows):
        nearest = min(max(limit, 1), len(rows))
        raise ValueError(refusal("limit", limit, f"1 to {len(rows)} images of this split", nearest))
    rank, _ = _rank_in_class(labels[rows], "limit")
    in_turn = (rank * (int(labels.max()) + 1) + labels[rows]).argsort()  # one of each class, then a second …
    return rows[in_turn[:limit].sort().values]


def _rank_in_class(labels: Int64[Tensor, " n"], name: str) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"]]:
    """Place of each image in a seeded permutation of its class, and the size of its class."""
    shuffled = torch.randperm(len(labels), generator=child_generator(SPLIT_SEED, name))
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    counts = torch.bincount(labels)
    rank = torch.empty_like(labels)
    rank[by_class] = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[labels[by_class]]
    return rank, counts[labels]


# --- known sets ---


def _digits() -> _Pool:
    from sklearn.datasets import load_digits

    data = load_digits()
    grey = torch.from_numpy(data.images).mul(255 / 16).round().to(torch.uint8)  # its values are 0 to 16
    labels = torch.from_numpy(data.target).long()
    return _pool_in_memory("digits", grey[:, None].repeat(1, 3, 1, 1), labels, map(str, range(10)), SPLITS)


def _official(name: str, root: Path, split: str, download: bool) -> _Pool:
    from torchvision import datasets

    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100, "svhn": datasets.SVHN}[name]
    part = "test" if split == "test" else "train"
    which = {"split": part} if name == "svhn" else {"train": part == "train"}
    try:
        data = kind(root, **which, download=download)
    except (RuntimeError, OSError) as error:
        # the network's, or the disk's: nothing is known of the files
        if download and isinstance(error, OSError):
            raise OSError(f"{name}: the download into {root} failed: {error}") from error
        raise _what_is_wrong(name, kind, root, part, error) from error
    holds = ("test",) if part == "test" else ("train", "validation")
    images = torch.from_numpy(data.data)
    if name == "svhn":
        return _pool_in_memory(name, images, torch.from_numpy(data.labels), map(str, range(10)), holds)
    images = images.permute(0, 3, 1, 2).contiguous()
    return _pool_in_memory(name, images, torch.tensor(data.targets), data.classes, holds)


def _what_is_wrong(name: str, kind: type, root: Path, part: str, error: Exception) -> Exception:
    # torchvision says "not found or corrupted" and no file: find the first that differs from its checksum.
    from torchvision.datasets.utils import check_integrity

    if name == "svhn":
        files = [(root / kind.split_list[part][1], kind.split_list[part][2])]
    else:
        listed = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
        files = [(root / kind.base_folder / file, md5) for file, md5 in listed]
    for file, md5 in files:
        if not file.exists():
            needed = f"set {called('root')} (or SPATIAL_DATA), or pass download=True"
            return FileNotFoundError(f"{name}: {file} is missing; {needed}")
        if not check_integrity(file, md5):
            return ValueError(
                f"{name}: {file} is damaged (its checksum differs); remove it, pass download=True"
            )
    return ValueError(f"{name}: not loaded from {root} ({error})")


def _pool_in_memory(name: str, images: Tensor, labels: Tensor, classes: Iterable[str], holds: tuple) -> _Pool:
    classes = tuple(classes)

    def load(rows: Tensor, image_size: int | None) -> ImageSet:
        chosen = images[rows]
        if image_size not in (None, images.shape[-1]):
            from torchvision.transforms.v2.functional import resize

            chosen = resize(chosen, [image_size, image_size])
        return ImageSet(chosen, labels[rows], classes, *STATISTICS[name])

    return _Pool(labels, classes, holds, load)


# --- image folders ---


def _folder(root: Path, split: str, load_files: Callable) -> _Pool:
    """The part of an image folder that holds `split`."""
    given = [root / part for part in ("val", "test") if _is_labelled(root / part)]
    train, classes = root / "train", None
    if not train.is_dir():
        if given:
            raise FileNotFoundError(
                f"{train}: no such folder beside {given[0].name}; train/<class>/<image> is needed"
            )
        source, holds = root, SPLITS
    elif given and (split == "test" or (split == "validation" and len(given) == 2)):
        source, holds = given[-1 if split == "test" else 0], (split,)
        classes = _labelled_files(train)[2]  # of the training data: they give the labels their numbers
    else:
        source, holds = train, (SPLITS, SPLITS[:2], SPLITS[:1])[len(given)]
    paths, labels, classes = _labelled_files(source, classes)
    names = _read_class_names(root / CLASS_NAMES_FILE, classes)

    def load(rows: Tensor, image_size: int | None) -> ImageSet | StreamedImages:
        return load_files([paths[row] for row in rows], labels[rows], names, image_size)

    return _Pool(labels, classes, holds, load)


def _is_labelled(folder: Path) -> bool:
    # ImageNet's and Tiny-ImageNet's test sets have no labels: their images lie in the folder, or in `images`.
    return folder.is_dir() and bool(_label_file(folder) or set(_subfolders(folder)) - {"images"})


def _label_file(folder: Path) -> Path | None:
    return next((folder / file for file in LABEL_FILES if (folder / file).is_file()), None)


def _subfolders(folder: Path) -> list[str]:
    return sorted(
        entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )


def _labelled_files(
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
        paths = _image_files(folder / name, known)
        if not paths:
            raise FileNotFoundError(
                f"{folder / name}: no images of this class; one or more of {_extensions()} are needed"
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
    for path in _image_files(file.parent):
        if path not in class_of:
            raise ValueError(f"{file}: no class for {path}; each image of the folder is needed, once")
    return class_of


def _read_class_names(file: Path, classes: tuple[str, ...]) -> tuple[str, ...]:
    """Readable names of the classes where there is such a file; those that it does not name stay as they are."""
    names: dict[str, str] = {}
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


def _image_files(folder: Path, known: dict[tuple[int, int], str] | None = None) -> list[str]:
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
            if path.lower().endswith(_extensions()) and os.path.isfile(path):
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


def _extensions() -> tuple[str, ...]:
    from torchvision.datasets.folder import IMG_EXTENSIONS

    return IMG_EXTENSIONS


# --- image files ---


def _load_files(
    paths: list[str],
    labels: Tensor,
    classes: tuple,
    image_size: int | None,
    *,
    limits: FolderLimits,
) -> ImageSet | StreamedImages:
    """Decode the files into one tensor; above the budget only check that they can be decoded."""
    statistics, failed = STATISTICS["imagefolder"], {}
    if image_size is not None and 3 * image_size**2 * len(paths) > limits.memory_budget:
        failed = {row: error for row, error in enumerate(_in_threads(_check, paths)) if error}
        kept = _readable_rows(paths, failed, limits.max_corrupt)
        return StreamedImages(
            tuple(paths[row] for row in kept), labels[kept], classes, image_size, *statistics
        )
    images = None
    for row, image in enumerate(_in_threads(partial(_try_to_read, image_size=image_size), paths)):
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
    return ImageSet(images[kept] if failed else images, labels[kept], classes, *statistics)


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


def _read(path: str, image_size: int | None) -> UInt8[Tensor, "3 height width"]:
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


def _try_to_read(path: str, image_size: int | None) -> Tensor | Exception:
    try:
        return _read(path, image_size)
    # Pillow raises OSError, SyntaxError, ValueError, struct.error … on damaged files
    except Exception as error:
        return error


def _check(path: str) -> Exception | None:
    """None if the file can be decoded to its end; a JPEG at an eighth of its size, which is faster."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            _check_kind(image)
            image.draft(None, (1, 1))
            image.load()
    except Exception as error:
        return error


def _in_threads(function: Callable, paths: list[str]) -> Iterator:
    with ThreadPoolExecutor(_workers()) as pool:
        for start in range(0, len(paths), 1024):  # in portions, so that results never pile up
            yield from pool.map(function, paths[start : start + 1024])


def _workers() -> int:
    """Cores for each of the processes that torchrun may have started on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(16, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))
