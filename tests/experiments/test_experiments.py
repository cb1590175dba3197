"""Every recipe runs at a tiny scale, leaves a complete record, and gives the same numbers for the same seed."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from src.experiments.recipes import REGISTRY, scaling, synthetic, vision

from src.evidence.claims import CLAIMS
from src.evidence.records import Record
from src.workshop.parameters import resolve

TINY = {
    "structure": {"num_seeds": 2, "grid_side": 4, "num_samples": 50},
    "linear-fails": {"num_seeds": 2, "num_patches": 16, "patch_dim": 4, "num_samples": 200},
    "shortcut-exists": {"num_seeds": 2, "num_patches": 16, "patch_dim": 4, "num_samples": 100},
    "idealized": {"num_seeds": 2, "num_patches": 16, "steps": 30, "batch_samples": 64},
    "realistic": {
        "num_seeds": 2,
        "num_patches": 12,
        "patch_dim": 5,
        "num_samples": 60,
        "num_test": 40,
        "steps": 10,
        "overtrain_steps": 20,
        "record_every": 5,
        "sample_sizes": [20],
    },
    "transfer": {
        "num_seeds": 2,
        "num_patches": 12,
        "patch_dim": 5,
        "num_samples": 60,
        "num_test": 40,
        "steps": 5,
    },
    "samples-needed": {
        "num_seeds": 2,
        "num_patches": [16, 32],
        "linear_error": 0.03,
        "patch_dim": 8,
        "samples_per_patch": [2, 60],
        "pretraining_samples": [400, 400],
        "downstream_sizes": [1, 8],
        "downstream_draws": 2,
        "num_test": 400,
        "steps": [60, 80],
    },
    "pe-locality": {
        "num_seeds": 1,
        "patch_size": 4,
        "embed_dim": 8,
        "depth": 1,
        "mlp_dim": 8,
        "epochs": 1,
        "train_limit": 64,
    },
}
TINY |= dict.fromkeys(("positional-svhn", "positional-imagenet"), TINY["pe-locality"] | {"num_heads": 2})


def tiny(claim: str) -> Record:
    return REGISTRY[claim](resolve(CLAIMS[claim].chapter, TINY[claim]), claim)


@pytest.fixture(scope="module", params=TINY)
def record(request) -> Record:
    return tiny(request.param)


def test_every_check_of_the_claim_finds_its_metric(record):
    for check in CLAIMS[record.claim].checks:
        assert len(record.values(check.metric)) >= 1
        assert all(np.isfinite(record.values(check.metric)))


def test_the_record_survives_the_disk(record, tmp_path):
    assert Record.load(record.save(tmp_path / "record")) == record


def test_provenance_is_complete(record):
    assert record.scale == "laptop"
    assert record.parameters["seed"] == 0 and record.wall_seconds > 0 and record.peak_memory_bytes > 0
    assert all((record.device, record.versions["torch"], record.commit, record.source_digest, record.started))


def test_same_seed_same_numbers_in_any_order(record):
    again = tiny(record.claim)
    assert again.metrics == record.metrics
    assert all(np.array_equal(again.arrays[name], record.arrays[name]) for name in record.arrays)


def test_another_seed_gives_another_draw():
    changed = REGISTRY["structure"](resolve("01_dataset", {**TINY["structure"], "seed": 1}))
    assert not np.array_equal(changed.arrays["coefficient"], tiny("structure").arrays["coefficient"])


def test_recipes_serve_the_chapters_of_their_claims():
    assert REGISTRY["idealized"] is synthetic.idealized and REGISTRY["pe-locality"] is vision.positional
    assert REGISTRY["samples-needed"] is scaling.samples_needed
    for claim, recipe in REGISTRY.items():
        assert recipe.chapter_of[claim] == CLAIMS[claim].chapter


@pytest.mark.parametrize(
    ("dataset", "policy", "expected"),
    [
        ("cifar100", "autoaugment", "autoaugment-cifar10"),
        ("svhn-1083", "autoaugment", "autoaugment-svhn"),
        ("tiny-imagenet-50", "autoaugment", "autoaugment-imagenet"),
        ("digits", "randaugment", "randaugment"),
        ("digits", "none", None),
    ],
)
def test_the_policy_is_the_one_learned_on_such_images(dataset, policy, expected):
    chosen = training(policy=policy).augmentation(dataset, 32)
    assert chosen.policy == expected and chosen.crop_padding == 4


def test_a_resized_crop_takes_the_place_of_the_shifted_one():
    chosen = training(resized_crop=0.5).augmentation("cifar10", 32)
    assert chosen.resized_crop == 0.5 and chosen.crop_padding == 0 and chosen.flip


def training(**changes) -> vision.Training:
    values = resolve("07_imagenet", {"resized_crop": 0.0, **changes})
    return vision.Training(**{each.name: values[each.name] for each in fields(vision.Training)})


def test_a_recipe_that_was_cut_off_goes_on_from_its_checkpoints(tmp_path):
    values = resolve("05_cifar", TINY["pe-locality"] | {"checkpoint_folder": str(tmp_path / "checkpoints")})
    first = vision.positional(values)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 3
    again = vision.positional(values)
    assert again.metrics == first.metrics and again.wall_seconds < first.wall_seconds


def test_settings_are_tried_out_on_validation_images():
    values = resolve("05_cifar", TINY["pe-locality"] | {"permute": False})
    tried, counted = (vision.positional(values | {"eval_split": split}) for split in ("validation", "test"))
    for index, model in enumerate(("content", "positional")):
        last = tried.arrays["accuracy_by_epoch"][index, :, -1]
        assert tried.metrics[f"accuracy_{model}"] == pytest.approx(last.tolist(), abs=1e-3)
        assert counted.arrays["accuracy_by_epoch"][index, :, -1] == pytest.approx(last)
    assert not np.array_equal(tried.arrays["images"], counted.arrays["images"])


def test_the_cost_of_imagenet_is_counted_attention_included():
    cost = vision.training_cost(resolve("07_imagenet", preset="paper"), num_images=10)
    tokens, width, depth = 197, 192, 12
    block, keys_and_values = 12 * width**2 + 2 * tokens * width, 2 * width**2
    by_hand = (
        2 * tokens * ((depth - 1) * block + keys_and_values)
    )  # of the last block only the CLS token is read
    assert cost["forward"] == pytest.approx(by_hand, rel=0.03)
    assert cost["training"] == cost["forward"] * 3 * 10 * 300


def test_the_papers_picture_is_drawn_from_a_file_of_weights(tmp_path):
    timm = pytest.importorskip("timm")
    torch.save(timm.create_model("vit_small_patch32_224").state_dict(), tmp_path / "weights.pt")
    picture = vision.pretrained_similarity(str(tmp_path / "weights.pt"), seed=0)
    assert picture.arrays["similarity_after"].shape == (1, 49, 49)
    assert not np.array_equal(picture.arrays["similarity_after"], picture.arrays["similarity_before"])
    assert vision.pretrained_similarity("", seed=0) is None
