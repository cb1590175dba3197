import pytest
import torch

from src.vision.augment import (
    POLICIES,
    Augmentation,
    apply_policy,
    augment,
    crop_and_flip,
    mix,
    normalize,
    resized_crop,
    standard_augmentation,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(n: int, height: int = 8, width: int = 8) -> torch.Tensor:
    return torch.randint(1, 256, (n, 3, height, width), dtype=torch.uint8, generator=generator())


def test_crop_and_flip_agree_with_one_image_at_a_time():
    images, padding = random_images(64, height=10, width=7), 3
    draws = Augmentation(crop_padding=padding).draw((64,), generator())
    result = crop_and_flip(images, draws["offset"], draws["flip"])
    for image, (down, right), flip, cropped in zip(
        images, draws["offset"], draws["flip"], result, strict=True
    ):
        padded = torch.zeros(3, 10 + 2 * padding, 7 + 2 * padding, dtype=torch.uint8)
        padded[:, padding:-padding, padding:-padding] = image
        top, left = padding + int(down), padding + int(right)
        expected = padded[:, top : top + 10, left : left + 7]
        assert torch.equal(cropped, expected.flip(-1) if flip else expected)
    assert 0 < draws["flip"].sum() < 64 and draws["offset"].unique().tolist() == list(range(-3, 4))


def test_normalize_agrees_with_torchvision():
    from torchvision.transforms.v2.functional import normalize as reference

    images, mean, std = random_images(4), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    expected = reference(images.float() / 255, list(mean), list(std))
    torch.testing.assert_close(normalize(images, mean, std), expected)


def test_resized_crop_shows_the_window():
    inputs = torch.rand(2, 3, 8, 8, generator=generator())
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2)
    torch.testing.assert_close(resized_crop(inputs, whole), inputs)
    flat = torch.arange(8.0).expand(2, 3, 8, 8)  # brighter to the right
    right_half = resized_crop(flat, torch.tensor([[0.25, 0.5, 0.5, 0.5]] * 2))
    torch.testing.assert_close(right_half[0, 0, 4, 1:-1], torch.arange(8.0)[1:-1] / 2 + 3.75)


@pytest.mark.parametrize(("share", "least"), [(0.3, 0.3), (0.9, (0.9 * 3 / 4) ** 0.5), (1.0, 0.75**0.5)])
def test_windows_keep_to_the_image_and_to_the_least_area_that_is_left(share, least):
    window = Augmentation(crop_padding=0, resized_crop=share).draw((500,), generator())["window"]
    assert (window >= 0).all() and (window[:, :2] + window[:, 2:] <= 1 + 1e-6).all()
    area = window[:, 2] * window[:, 3]
    assert least - 1e-6 <= area.min() < least + 0.01 and area.max() <= 1


def test_mixup_mixes_neighbours_and_their_labels():
    inputs, labels = torch.rand(4, 3, 8, 8, generator=generator()), torch.tensor([0, 1, 2, 2])
    share = torch.tensor([0.7, 0.2, 1.0, 0.5])
    mixed, targets = mix(inputs, labels, 3, share, torch.zeros(4, dtype=torch.bool), torch.rand(4, 2))
    torch.testing.assert_close(mixed[0], 0.7 * inputs[0] + 0.3 * inputs[1])
    torch.testing.assert_close(mixed[1], 0.2 * inputs[1] + 0.8 * inputs[0])
    torch.testing.assert_close(mixed[2], inputs[2])
    torch.testing.assert_close(targets, torch.tensor([[0.7, 0.3, 0], [0.8, 0.2, 0], [0, 0, 1], [0, 0, 1]]))


def test_cutmix_replaces_a_box_and_weighs_labels_by_its_pixels():
    inputs, labels = torch.rand(2, 3, 8, 8, generator=generator()), torch.tensor([0, 1])
    center, cut = torch.tensor([[0.5, 0.5], [0.0, 0.0]]), torch.ones(2, dtype=torch.bool)
    mixed, targets = mix(inputs, labels, 2, torch.tensor([0.75, 0.75]), cut, center)
    expected = inputs.clone()
    expected[0, :, 2:6, 2:6] = inputs[1, :, 2:6, 2:6]
    expected[1, :, :2, :2] = inputs[0, :, :2, :2]  # three quarters of this box lie outside the image
    assert torch.equal(mixed, expected)
    torch.testing.assert_close(targets, torch.tensor([[0.75, 0.25], [4 / 64, 60 / 64]]))


def test_mixing_needs_pairs():
    draws = Augmentation(mixup=1.0).draw((3,), generator())
    with pytest.raises(ValueError, match="batch of 3 images cannot be mixed in pairs; the nearest: 4"):
        augment(
            random_images(3), torch.zeros(3).long(), draws, num_classes=2, mean=(0.5,) * 3, std=(0.5,) * 3
        )


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_is_drawn_by_image_and_repeatable(policy):
    images = random_images(1, 32, 32).expand(40, -1, -1, -1)
    draws = Augmentation(policy=policy).draw((40,), generator())
    before = torch.random.get_rng_state()
    result = apply_policy(images, policy, draws["policy"])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(result, apply_policy(images, policy, draws["policy"]))
    assert len(result.flatten(1).unique(dim=0)) > 10
    # Each image has the draw of its own seed, whichever images come with it.
    assert torch.equal(result[7:9], apply_policy(images[7:9], policy, draws["policy"][7:9]))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_agrees_with_torchvision_one_image_at_a_time(policy):
    from torchvision.transforms import v2

    transform = v2.RandAugment()
    if policy != "randaugment":
        transform = v2.AutoAugment(v2.AutoAugmentPolicy(policy.removeprefix("autoaugment-")))
    images, seeds = random_images(120, 32, 32), torch.randint(60, (120,), generator=generator())
    expected = []
    with torch.random.fork_rng():
        for image, seed in zip(images, seeds.tolist(), strict=True):
            torch.manual_seed(seed)
            expected.append(transform(image))
    assert torch.equal(apply_policy(images, policy, seeds), torch.stack(expected))
    assert (torch.stack(expected) != images).flatten(1).any(1).sum() > 60


def test_a_policy_calls_each_operation_once_a_stage_for_all_images(monkeypatch):
    from torchvision.transforms.v2 import functional

    calls = []
    monkeypatch.setattr(functional, "equalize", lambda images: calls.append(len(images)) or images)
    draws = Augmentation(policy="autoaugment-imagenet").draw((2000,), generator())
    apply_policy(random_images(2000, 4, 4), "autoaugment-imagenet", draws["policy"])
    assert len(calls) == 2 and min(calls) > 100


def test_draws_come_from_the_generator_alone():
    everything = Augmentation(policy="randaugment", mixup=0.2, cutmix=1.0)
    first, same, other = (everything.draw((5, 4), generator(seed)) for seed in (0, 0, 1))
    assert set(first) == {"policy", "offset", "flip", "share", "cut", "center"}
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in ("policy", "offset", "share"))
    assert all(values.shape[:2] == (5, 4) for values in first.values())


def test_no_augmentation_is_normalization():
    images, labels = random_images(2), torch.tensor([1, 0])
    draws = Augmentation(crop_padding=0, flip=False).draw((2,), generator())
    inputs, targets = augment(images, labels, draws, num_classes=2, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert not draws and torch.equal(targets, labels)
    torch.testing.assert_close(inputs, images / 127.5 - 1)


def test_digits_are_never_mirrored():
    assert not standard_augmentation("digits", 8).flip
    assert not standard_augmentation("svhn", 32).flip
    assert not standard_augmentation("some/where/svhn-1083", 32).flip
    assert standard_augmentation("cifar10", 32) == Augmentation(crop_padding=4, flip=True)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"crop_padding": -1}, "crop_padding = -1: a number >= 0 is needed"),
        ({"mixup": -0.5}, "mixup = -0.5: a number >= 0 is needed"),
        (
            {"crop_padding": 0, "resized_crop": 8.0},
            "resized_crop = 8.0: a share from 0 to 1 is needed; the nearest: 1",
        ),
        ({"resized_crop": 0.08}, "crop_padding = 4: no padding beside resized_crop is needed"),
        ({"policy": "autoaugment"}, "policy = 'autoaugment': .* the nearest: autoaugment-"),
    ],
)
def test_augmentations_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**options)


def drawing(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_mixup_and_cutmix_are_drawn_as_asked_each_with_its_own_parameter():
    assert not Augmentation(mixup=1.0).draw((50,), drawing())["cut"].any()
    assert Augmentation(cutmix=1.0).draw((50,), drawing())["cut"].all()
    draws = Augmentation(mixup=1000.0, cutmix=0.05).draw((400,), drawing())
    even, cut = (draws["share"] - 0.5).abs() < 0.1, draws["cut"]
    assert (
        even[~cut].all() and even[cut].double().mean() < 0.2
    )  # Beta(1000, 1000) is a peak, Beta(0.05, 0.05) is none
    assert 150 < cut.sum() < 250


def test_half_of_the_images_are_mirrored():
    assert 0.45 < Augmentation().draw((2000,), drawing())["flip"].double().mean() < 0.55
