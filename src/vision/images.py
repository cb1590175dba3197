"""Images and labels: four known sets and any image folder, as uint8 tensors or streamed from disk.

Three splits, never mixed. `test` is the official test set; `validation` is carved off the training data by a
fixed rule; `train` is the rest. Where there is no test set (`digits`, a plain folder) it is carved off first.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from src.common.choices import called, one_of, refusal
from src.common.seeding import child_generator
from src.common.shapes import Int64
from src.vision.image_folders import FolderLimits, class_names, is_labelled, labelled_files, load_files
from src.vision.image_sets import ImageSet, StreamedImages

NAMES = ("digits", "cifar10", "cifar100", "svhn", "imagefolder")
SPLITS = ("train", "validation", "test")
VALIDATION_SHARE, TEST_SHARE = 0.1, 0.2
SPLIT_SEED = 0  # not the run's seed: splits, and the subsets that `limit` takes, are the same for every run

# Mean and standard deviation of each channel, pixels in [0, 1].
STATISTICS = {
    "digits": ((0.305,) * 3, (0.376,) * 3),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "svhn": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
}


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
        pool = _folder(_folder_named(name, root), split, folder_limits)
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


def _folder(root: Path, split: str, limits: FolderLimits) -> _Pool:
    """The part of an image folder that holds `split`."""
    given = [root / part for part in ("val", "test") if is_labelled(root / part)]
    train, classes = root / "train", None
    if not train.is_dir():
        if given:
            raise FileNotFoundError(
                f"{train}: no such folder beside {given[0].name}; train/<class>/<image> is needed"
            )
        source, holds = root, SPLITS
    elif given and (split == "test" or (split == "validation" and len(given) == 2)):
        source, holds = given[-1 if split == "test" else 0], (split,)
        classes = labelled_files(train)[2]  # of the training data: they give the labels their numbers
    else:
        source, holds = train, (SPLITS, SPLITS[:2], SPLITS[:1])[len(given)]
    paths, labels, classes = labelled_files(source, classes)
    names = class_names(root, classes)

    def load(rows: Tensor, image_size: int | None) -> ImageSet | StreamedImages:
        return load_files([paths[row] for row in rows], labels[rows], names, image_size, limits)

    return _Pool(labels, classes, holds, load)
