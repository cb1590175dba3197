import os
import pickle
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src.vision.image_folders import FolderLimits
from src.vision.image_sets import ImageSet, StreamedImages
from src.vision.images import SPLITS, load_images

DATA = os.environ.get("SPATIAL_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="SPATIAL_DATA does not name a folder of data")


def make_folder(root: Path, counts: dict[str, int], size=(20, 20), ending=".png") -> Path:
    """A folder of class folders with random RGB images."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels = random.Random(f"{name}{i}").randbytes(3 * size[0] * size[1])
            Image.frombytes("RGB", size, pixels).save(root / name / f"{i:03}{ending}")
    return root


def error_of(kind: type[Exception], *args, **options) -> str:
    with pytest.raises(kind) as caught:
        load_images(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- splits and subsets ---


def test_digits_are_scaled_rgb_and_split_without_overlap():
    parts = [load_images("digits", split=split) for split in SPLITS]
    assert [len(part) for part in parts] == [1295, 143, 359]
    images, labels = parts[0]
    assert images.shape == (1295, 3, 8, 8) and images.dtype == torch.uint8 and labels.dtype == torch.int64
    assert images.min() == 0 and images.max() == 255
    assert parts[0].classes == tuple("0123456789")
    # The split is a partition of scikit-learn's 1,797 images, most of which differ from each other.
    rows = {tuple(image.flatten().tolist()) for part in parts for image in part.images[:, 0]}
    assert sum(map(len, parts)) == 1797 and len(rows) > 1790


def test_splits_hold_the_stated_share_of_every_class(tmp_path):
    make_folder(tmp_path, {"cat": 40, "dog": 20, "owl": 3})
    sizes = [load_images("imagefolder", tmp_path, split).labels.bincount().tolist() for split in SPLITS]
    assert sizes == [
        [29, 14, 1],
        [3, 2, 1],
        [8, 4, 1],
    ]  # test 20 %, then validation 10 % of the rest, at least 1


def test_limit_is_balanced_repeatable_and_nested():
    ten, same, hundred = (load_images("digits", limit=n).images for n in (10, 10, 100))
    assert torch.equal(ten, same)
    assert load_images("digits", limit=100).labels.bincount().tolist() == [10] * 10
    larger = {tuple(image.flatten().tolist()) for image in hundred}
    assert all(tuple(image.flatten().tolist()) in larger for image in ten)


def test_limit_takes_what_small_classes_have_and_the_rest_from_others(tmp_path):
    make_folder(tmp_path / "train", {"cat": 3, "dog": 12})
    make_folder(tmp_path / "test", {"cat": 2, "dog": 2})
    assert load_images("imagefolder", tmp_path, limit=8).labels.bincount().tolist() == [2, 6]


# --- known sets ---


@needs_data
@pytest.mark.parametrize("name, classes", [("cifar10", 10), ("cifar100", 100)])
def test_cifar_is_split_by_the_stated_rule(name, classes):
    train, validation, test = (load_images(name, split=split) for split in SPLITS)
    assert train.labels.bincount().tolist() == [45000 // classes] * classes
    assert validation.labels.bincount().tolist() == [5000 // classes] * classes
    assert test.images.shape == (10000, 3, 32, 32)
    pixels = train.images[::10].double() / 255
    assert torch.allclose(pixels.mean((0, 2, 3)), torch.tensor(train.mean).double(), atol=5e-3)
    assert torch.allclose(pixels.std((0, 2, 3)), torch.tensor(train.std).double(), atol=5e-3)


@needs_data
def test_folders_below_the_data_root_load_by_name():
    tiny = load_images("tiny-imagenet-50", limit=500)
    assert tiny.images.shape == (500, 3, 64, 64) and tiny.labels.bincount().tolist() == [10] * 50
    assert len(load_images("tiny-imagenet-50", split="test")) == 2500  # its val/
    assert [len(load_images("svhn-1083", split=split)) for split in SPLITS] == [791, 89, 203]


def test_known_sets_are_read_from_torchvisions_files(tmp_path, monkeypatch):
    from scipy.io import savemat
    from torchvision.datasets import CIFAR10, SVHN
    from torchvision.datasets.utils import calculate_md5

    pixels = np.random.default_rng(0).integers(0, 256, (40, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(40) % 10
    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(
        pickle.dumps({"data": pixels.reshape(40, -1), "labels": labels.tolist()})
    )
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [*"abcdefghij"]}))
    listed = [["data_batch_1", calculate_md5(folder / "data_batch_1")]]
    monkeypatch.setattr(CIFAR10, "train_list", listed)
    monkeypatch.setattr(CIFAR10, "test_list", listed)
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": calculate_md5(folder / "batches.meta")})
    savemat(
        tmp_path / "test_32x32.mat", {"X": pixels.transpose(2, 3, 1, 0), "y": np.where(labels, labels, 10)}
    )
    listed = [*SVHN.split_list["test"][:2], calculate_md5(tmp_path / "test_32x32.mat")]
    monkeypatch.setitem(SVHN.split_list, "test", listed)
    for name in ("cifar10", "svhn"):
        data = load_images(name, tmp_path, "test")
        assert torch.equal(data.images, torch.from_numpy(pixels))
        assert torch.equal(data.labels, torch.from_numpy(labels))
        assert data.classes == tuple("abcdefghij" if name == "cifar10" else "0123456789")
    monkeypatch.setenv("SPATIAL_DATA", str(tmp_path))
    assert [len(load_images("cifar10", split=split)) for split in ("train", "validation")] == [30, 10]


def test_a_missing_or_damaged_file_of_a_known_set_is_named(tmp_path):
    message = error_of(FileNotFoundError, "cifar10", tmp_path)
    assert f"{tmp_path / 'cifar-10-batches-py' / 'data_batch_1'} is missing" in message
    assert "download=True" in message and "SPATIAL_DATA" in message
    (tmp_path / "cifar-100-python").mkdir()
    (tmp_path / "cifar-100-python" / "train").write_bytes(b"half a file")
    assert f"{tmp_path / 'cifar-100-python' / 'train'} is damaged" in error_of(
        ValueError, "cifar100", tmp_path
    )
    assert "train_32x32.mat is missing" in error_of(FileNotFoundError, "svhn", tmp_path)


def test_image_size_resizes_known_sets():
    assert load_images("digits", image_size=16, limit=20).images.shape == (20, 3, 16, 16)


# --- image folders ---


def test_every_kind_of_image_becomes_what_torchvision_makes_of_it(tmp_path):
    from torchvision.datasets.folder import default_loader
    from torchvision.transforms import CenterCrop, Compose, PILToTensor, Resize

    folder = tmp_path / "train" / "all"
    folder.mkdir(parents=True)
    kinds = {
        "L": "png",
        "LA": "png",
        "P": "png",
        "RGB": "jpg",
        "RGBA": "png",
        "CMYK": "jpg",
        "1": "png",
    }
    for i, (mode, ending) in enumerate(kinds.items()):
        picture = Image.radial_gradient("L").resize((30 + 7 * i, 24 + 2 * i))
        picture.convert("RGB").convert(mode).save(folder / f"{i}.{ending}")
    (folder / "palette.png").unlink(missing_ok=True)
    palette = Image.radial_gradient("L").convert("P")
    palette.save(folder / "palette.png", transparency=3)
    make_folder(tmp_path / "test", {"all": 1})
    loaded = [*load_images("imagefolder", tmp_path, "train", image_size=16).images]
    loaded += [*load_images("imagefolder", tmp_path, "validation", image_size=16).images]
    reference = Compose([Resize(16), CenterCrop(16), PILToTensor()])
    expected = [reference(default_loader(str(path))) for path in sorted(folder.iterdir())]
    assert len(loaded) == len(expected) == 8
    for image in expected:
        assert any(torch.equal(image, other) for other in loaded)


def test_images_keep_their_size_where_it_is_one(tmp_path):
    make_folder(tmp_path, {"cat": 5, "dog": 5}, size=(24, 18))
    data = load_images("imagefolder", tmp_path)
    expected = Image.open(tmp_path / "cat" / "000.png")
    assert data.images.shape == (6, 3, 18, 24) and data.classes == ("cat", "dog")
    every = torch.cat([load_images("imagefolder", tmp_path, split).images for split in SPLITS])
    pixels = (
        torch.frombuffer(bytearray(expected.tobytes()), dtype=torch.uint8).view(18, 24, 3).permute(2, 0, 1)
    )
    assert (every == pixels).flatten(1).all(1).sum() == 1


def test_mixed_sizes_need_image_size(tmp_path):
    make_folder(tmp_path, {"cat": 5})
    make_folder(tmp_path, {"dog": 5}, size=(30, 20))
    message = error_of(ValueError, "imagefolder", tmp_path)
    assert "30 x 20" in message and "image_size, pixels per side, is needed" in message
    assert load_images("imagefolder", tmp_path, image_size=8).images.shape[1:] == (3, 8, 8)


def test_layouts_train_validation_and_test(tmp_path):
    make_folder(tmp_path / "train", {"cat": 20, "dog": 20})
    assert [len(load_images("imagefolder", tmp_path, split)) for split in SPLITS] == [28, 4, 8]
    make_folder(tmp_path / "val", {"cat": 3, "dog": 2})
    assert [len(load_images("imagefolder", tmp_path, split)) for split in SPLITS] == [36, 4, 5]
    make_folder(tmp_path / "test", {"images": 7})  # without labels, as in Tiny-ImageNet
    assert len(load_images("imagefolder", tmp_path, "test")) == 5
    make_folder(tmp_path / "test", {"cat": 1, "dog": 1})
    (tmp_path / "test" / "images").rename(tmp_path / "unlabelled")
    assert [len(load_images("imagefolder", tmp_path, split)) for split in SPLITS] == [40, 5, 2]


def test_hidden_files_and_other_files_are_no_images(tmp_path):
    make_folder(tmp_path, {"cat": 5, "dog": 5, ".cache": 1})
    (tmp_path / "cat" / "._000.png").write_bytes(b"trace of another program")
    (tmp_path / "cat" / "boxes.txt").write_text("0 0 1 1")
    assert sum(len(load_images("imagefolder", tmp_path, split)) for split in SPLITS) == 10


def test_labels_from_a_file(tmp_path):
    make_folder(tmp_path / "train", {"cat": 5, "dog": 5})
    make_folder(tmp_path / "val", {"images": 3})
    labels = tmp_path / "val" / "val_annotations.txt"
    labels.write_text("000.png\tdog\t0\t0\t9\t9\n001.png\tcat\t1\t1\t8\t8\n002.png\tdog\t0\t0\t7\t7\n")
    assert sorted(load_images("imagefolder", tmp_path, "test").labels.tolist()) == [0, 1, 1]
    for text, fault in {
        "000.png\tdog\n001.png\tcat": f"{labels}: no class for {labels.parent / 'images' / '002.png'}",
        "000.png\tdog\n009.png\tcat": f"{labels}, line 2: image '009.png' does not exist",
        "000.png\tdog\n000.png\tcat": f"{labels}, line 2: image '000.png' is listed twice",
        "000.png dog": f"{labels}, line 1: '000.png dog'; an image and its class",
        "000.png,dgo\n001.png,cat\n002.png,dog": f"{labels}: class = 'dgo': cat, dog is needed; the nearest: dog",
        "000.png,dog\n001.png,dog\n002.png,dog": f"{labels}: no images of class 'cat'",
    }.items():
        labels.write_text(text)
        assert fault in error_of(ValueError, "imagefolder", tmp_path, "test")


@pytest.mark.parametrize("budget", [2**30, 0])  # in memory, streamed
@pytest.mark.parametrize("parts", [("",), ("train", "val"), ("train", "val", "test")])
def test_class_names_from_a_file_change_nothing_else(tmp_path, parts, budget, recwarn):
    """In every layout the file lies in the data set's own folder; lines are in any order, and some may be missing."""
    for part in parts:
        make_folder(tmp_path / part, {"n1": 5, "n2": 5, "n3": 5})
    options = {"image_size": 20, "folder_limits": FolderLimits(0.0, budget)}
    plain = [load_images("imagefolder", tmp_path, split, **options) for split in SPLITS]
    (tmp_path / "classes.txt").write_text("n3\tzebra\nn1   goldfish,  a café's \n", encoding="utf-8-sig")
    named = [load_images("imagefolder", tmp_path, split, **options) for split in SPLITS]
    for one, other in zip(plain, named, strict=True):
        assert one.classes == ("n1", "n2", "n3")
        assert other.classes == ("goldfish,  a café's", "n2", "zebra")
        assert torch.equal(one.labels, other.labels) and one.digest() == other.digest()
    larger = load_images("imagefolder", tmp_path, "test", **options | {"image_size": 24})
    assert larger.digest() != one.digest()
    assert not recwarn


def test_class_names_hold_for_label_files_and_may_be_alike(tmp_path):
    make_folder(tmp_path / "train", {"n1": 5, "n2": 5})
    make_folder(tmp_path / "val", {"images": 2})
    (tmp_path / "val" / "val_annotations.txt").write_text("000.png\tn2\n001.png\tn1\n")
    (tmp_path / "classes.txt").write_text("n1 crane\nn2 crane\n")  # ImageNet has two: a bird, a machine
    test = load_images("imagefolder", tmp_path, "test")
    assert test.classes == ("crane", "crane") and test.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (b"n1 goldfish\nn9 shark", "line 2: class = 'n9': n1, n2 is needed; the nearest: n"),
        (b"goldfish n1", "line 1: class = 'goldfish': n1, n2 is needed"),
        (b"n1 goldfish\nn2 shark\nn1 carp", "line 3: class 'n1' is named twice; one name is needed"),
        (b"n1 goldfish\nn2 \t\n", "line 2: 'n2'; a class and its name, whitespace between, are needed"),
        (b"n1 goldfish\n\nn2 shark", "line 2: ''; a class and its name, whitespace between, are needed"),
        (b"n1 goldfish\nn2 caf\xe9", r"line 2: b'n2 caf\xe9' is no UTF-8, which is needed"),
        ("n1 goldfish".encode("utf-16"), "is no UTF-8, which is needed"),
    ],
)
@pytest.mark.parametrize("split", SPLITS)
def test_class_names_that_do_not_fit_are_refused(tmp_path, lines, fault, split):
    for part in ("train", "val"):
        make_folder(tmp_path / part, {"n1": 5, "n2": 5})
    (tmp_path / "classes.txt").write_bytes(lines)
    message = error_of(ValueError, "imagefolder", tmp_path, split)
    assert message.startswith(f"{tmp_path / 'classes.txt'}, line ") and fault in message


def test_folders_that_hold_no_data_set_are_refused(tmp_path):
    assert str(tmp_path / "nowhere") in error_of(FileNotFoundError, "imagefolder", tmp_path / "nowhere")
    assert f"{tmp_path}: no class folders" in error_of(FileNotFoundError, "imagefolder", tmp_path)
    make_folder(tmp_path, {"cat": 5, "dog": 0})
    assert f"{tmp_path / 'dog'}: no images of this class" in error_of(
        FileNotFoundError, "imagefolder", tmp_path
    )
    make_folder(tmp_path, {"dog": 2})
    assert "class 'dog' has 2 image(s); 3 or more" in error_of(ValueError, "imagefolder", tmp_path)
    make_folder(tmp_path / "val", {"cat": 1})
    assert f"{tmp_path / 'train'}: no such folder" in error_of(FileNotFoundError, "imagefolder", tmp_path)
    make_folder(tmp_path / "train", {"cat": 5, "dog": 5})
    assert "no images of class 'dog'" in error_of(ValueError, "imagefolder", tmp_path, "test")


def test_a_corrupt_image_is_named_and_refused_or_skipped(tmp_path):
    make_folder(tmp_path / "train", {"cat": 10, "dog": 10}, ending=".jpg")
    make_folder(tmp_path / "test", {"cat": 2, "dog": 2}, ending=".jpg")
    broken = tmp_path / "test" / "cat" / "001.jpg"
    broken.write_bytes(broken.read_bytes()[:-200])
    for budget in (2**20, 0):  # in memory, streamed
        strict, lenient = FolderLimits(memory_budget=budget), FolderLimits(0.25, budget)
        options = {"split": "test", "image_size": 16}
        message = error_of(ValueError, "imagefolder", tmp_path, **options, folder_limits=strict)
        assert f"1 of 4 images cannot be read: {broken} (" in message and "max_corrupt=0.001" in message
        with pytest.warns(UserWarning, match=re.escape(f"1 of 4 images cannot be read: {broken}")):
            data = load_images("imagefolder", tmp_path, **options, folder_limits=lenient)
        assert data.labels.tolist() == [0, 1, 1]


def test_links_that_loop_are_walked_once(tmp_path):
    """A folder that links to itself, and two that link to each other, add no image and end."""
    root = make_folder(tmp_path / "data", {"cat": 10, "dog": 10})
    (root / "cat" / "again").symlink_to(root / "cat")
    (root / "dog" / "deep").mkdir()
    (root / "dog" / "deep" / "up").symlink_to(root / "dog")
    sizes = [len(load_images("imagefolder", root, split)) for split in SPLITS]
    assert sum(sizes) == 20


def test_two_paths_to_one_file_are_refused(tmp_path):
    root = make_folder(tmp_path, {"cat": 4, "dog": 4})
    (root / "cat" / "copy.png").symlink_to(root / "cat" / "000.png")
    assert "are one file; each image is needed once" in error_of(ValueError, "imagefolder", root)
    (root / "cat" / "copy.png").unlink()
    (root / "dog" / "link.png").symlink_to(root / "cat" / "000.png")
    assert "are one file; each image is needed once" in error_of(ValueError, "imagefolder", root)


def test_what_is_no_regular_file_is_no_image(tmp_path):
    root = make_folder(tmp_path, {"cat": 4, "dog": 4})
    os.mkfifo(root / "cat" / "pipe.png")
    (root / "cat" / "lost.png").symlink_to(root / "nowhere.png")
    assert sum(len(load_images("imagefolder", root, split)) for split in SPLITS) == 8


@pytest.mark.parametrize("budget", [2**30, 0])
@pytest.mark.parametrize("kind", ["16 bits", "float", "animated"])
def test_pictures_that_a_conversion_would_spoil_are_counted_as_unreadable(tmp_path, kind, budget):
    make_folder(tmp_path / "train", {"cat": 5, "dog": 5})
    root = make_folder(tmp_path / "test", {"cat": 40, "dog": 40})
    file = root / "cat" / f"odd.{'png' if kind == '16 bits' else 'tiff'}"
    if kind == "animated":
        first, second = (Image.new("RGB", (20, 20), (shade,) * 3) for shade in (0, 255))
        first.save(file, save_all=True, append_images=[second])
    else:
        Image.fromarray(np.full((20, 20), 300, np.uint16 if kind == "16 bits" else np.float32)).save(file)
    options = {"split": "test", "image_size": 20}
    refused = error_of(
        ValueError, "imagefolder", tmp_path, **options, folder_limits=FolderLimits(0.0, budget)
    )
    assert refused.startswith("1 of 81 images cannot be read")
    with pytest.warns(UserWarning, match=r"1 of 81 .*odd.*(8 bits a channel|one picture)"):
        kept = load_images("imagefolder", tmp_path, **options, folder_limits=FolderLimits(0.05, budget))
    assert len(kept) == 80


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    root, scan = make_folder(tmp_path, {"cat": 4, "dog": 4}), os.scandir
    (root / "dog" / "closed").mkdir()

    def refuse(folder):
        # as a user without the right to read it would see; root may read all
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert str(root / "dog" / "closed") in error_of(PermissionError, "imagefolder", root)


def test_files_without_an_ending_are_told(tmp_path):
    root = make_folder(tmp_path, {"cat": 4, "dog": 4})
    (root / "cat" / "picture").write_bytes((root / "cat" / "000.png").read_bytes())
    with pytest.warns(UserWarning, match=r"cat: 1 file\(s\) without an ending"):
        train = load_images("imagefolder", root)
    (root / "cat" / "picture").unlink()
    assert torch.equal(train.images, load_images("imagefolder", root).images)


def test_a_folder_above_the_memory_budget_is_streamed(tmp_path):
    make_folder(tmp_path, {"cat": 9, "dog": 9})
    nothing = FolderLimits(memory_budget=0)
    streamed = load_images("imagefolder", tmp_path, image_size=8, folder_limits=nothing)
    held = load_images("imagefolder", tmp_path, image_size=8)
    assert isinstance(streamed, StreamedImages) and len(streamed) == len(held) == 12
    rows = torch.tensor([[3, 1, 2, 7], [11, 4, 4, 0]])
    assert torch.equal(torch.cat([images for images, _ in streamed.blocks(rows)]), held.images[rows])
    assert torch.equal(torch.cat([labels for _, labels in streamed.blocks(rows)]), held.labels[rows])
    assert "image_size=None" in error_of(ValueError, "imagefolder", tmp_path, folder_limits=nothing)


# --- arguments ---


def test_arguments_outside_what_is_allowed_are_refused_by_their_names(tmp_path):
    assert re.fullmatch("name = 'cifr10': .*; the nearest: cifar10", error_of(ValueError, "cifr10"))
    message = error_of(ValueError, "digits", split="valid")
    assert re.fullmatch("split = 'valid': .*; the nearest: validation", message)
    needed = "1 to 1295 images of this split is needed; the nearest:"
    assert error_of(ValueError, "digits", limit=0) == f"limit = 0: {needed} 1"
    assert error_of(ValueError, "digits", limit=5000) == f"limit = 5000: {needed} 1295"
    nowhere = error_of(FileNotFoundError, "imagefolder", tmp_path / "nowhere")
    assert nowhere.endswith("root (or SPATIAL_DATA) must be a folder of images")
    assert "set root (or SPATIAL_DATA)" in error_of(FileNotFoundError, "cifar10", tmp_path)


def test_an_image_set_checks_its_labels():
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match="labels holds 2; 0 to 1"):
        ImageSet(images, torch.tensor([0, 2]), ("a", "b"))
