"""The experiment on images: policies, checkpoints, validation images, the cost, the paper's picture."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from src.experiments import images, pretrained
from src.experiments.resolve import resolve
from src.experiments.settings import ImagesSettings, PretrainedSettings
from src.vision import training
from src.vision.images import load_images

TINY = ImagesSettings(
    num_seeds=1, patch_size=4, embed_dim=8, depth=1, mlp_dim=8, epochs=1, train_limit=64, permute=False
)


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
    chosen = images.augmentation(ImagesSettings(dataset=dataset, policy=policy, image_size=32))
    assert chosen.policy == expected and chosen.crop_padding == 4


def test_a_resized_crop_takes_the_place_of_the_shifted_one():
    chosen = images.augmentation(ImagesSettings(dataset="cifar10", resized_crop=0.5))
    assert chosen.resized_crop == 0.5 and chosen.crop_padding == 0 and chosen.flip


def test_settings_reach_the_training():
    how = images.training_settings(
        TINY.changed(epochs=90, gradient_clip=0.0, plain_steps=True, warmup_epochs=2.5, device="cpu")
    )
    assert (how.epochs, how.checkpoint_every, how.gradient_clip) == (90, 1, None)  # 1: none is lost
    assert (how.compile, how.warmup_epochs, how.accelerator) == (False, 2.5, "cpu")
    assert images.training_settings(TINY).compile == "auto"
    assert images.training_settings(TINY.changed(compiled_steps=True)).compile is True
    with pytest.raises(ValueError, match="compiled_steps = True: False where plain_steps is True is needed"):
        TINY.changed(compiled_steps=True, plain_steps=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "cifr10"}, "dataset = 'cifr10': .* or a folder is needed; the nearest: cifar10"),
        (
            {"dataset": "imagefolder"},
            r".*nowhere: no such folder; data_folder \(or SPATIAL_DATA\) must be .*",
        ),
        (
            {"dataset": "cifar100"},
            r"cifar100: .*nowhere.* is missing; set data_folder \(or SPATIAL_DATA\), .*",
        ),
        ({"train_limit": 5000}, "train_limit = 5000: 1 to 1295 images of this split is needed; .*: 1295"),
        ({"image_size": 9}, "patch_size = 4: a divisor of image_size = 9 is needed; the nearest: 3"),
    ],
)
def test_refused_images_name_the_experiments_parameters(tmp_path, changes, message):
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        images.run(TINY.changed(data_folder=str(tmp_path / "nowhere"), **changes))
    told = str(caught.value)
    assert re.fullmatch(message, told)  # one line: a dot matches no other
    assert not re.search(r"\b(name|root|limit)\b", told.replace(str(tmp_path), ""))
    with pytest.raises(ValueError, match=r"^limit = 5000: "):  # the library's own names hold again after it
        load_images("digits", limit=5000)


@pytest.mark.parametrize("added", [False, True])
def test_encodings_are_added_to_the_positional_models_tokens_only_where_asked(added):
    settings = TINY.changed(add_encoding=added)
    models = {
        kind: images.new_model(settings, kind, 10, torch.Generator().manual_seed(0))
        for kind in ("content", "positional")
    }
    assert models["content"].add_encoding
    assert models["positional"].add_encoding is added


def test_both_models_of_a_repetition_begin_alike_and_a_permuted_one_too():
    groups = images.new_models(TINY.changed(permute=True), "positional", 10)
    (plain,), (permuted,) = groups["positional"], groups["positional_permuted"]
    assert plain.seed == permuted.seed
    for one, other in zip(plain.network.parameters(), permuted.network.parameters(), strict=True):
        assert torch.equal(one, other)
    order = permuted.model.permutation
    assert not torch.equal(order, order.sort().values)
    assert torch.equal(plain.model.permutation, torch.arange(len(order)))


def test_an_experiment_goes_on_from_its_checkpoints_and_leaves_finished_ones_alone(tmp_path):
    settings = TINY.changed(checkpoint_folder=str(tmp_path / "checkpoints"), permute=True)
    first = images.run(settings)
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "checkpoints").iterdir()}
    again = images.run(settings)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "checkpoints").iterdir()} == files
    assert again.metrics == first.metrics and len(files) == len(first.notes["images_per_second"]) == 3
    assert first.notes["resumed_seconds"] == 0 < again.notes["resumed_seconds"]
    assert "sources" not in again.notes


def test_a_record_tells_that_another_source_began_the_training(tmp_path, monkeypatch):
    settings = TINY.changed(checkpoint_folder=str(tmp_path))
    with monkeypatch.context() as earlier:
        earlier.setattr(training, "_source", lambda: "000000000000")
        images.run(settings)
    first, second = images.run(settings).notes["sources"]
    assert first == "000000000000" != second


@pytest.mark.parametrize(("processes", "trainings"), [(1, 1), (2, 3)])
def test_members_that_are_not_trained_together_are_trainings_of_their_own(processes, trainings, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    train, members = load_images("digits", limit=64), [images.Trained(nn.Identity(), 5 + k) for k in range(3)]

    def history(seed):
        return training.TrainingHistory(images_per_second=[float(seed)], resumed_seconds=2.0)

    monkeypatch.setattr(images, "fit", lambda *_, settings, **__: history(settings.seed))
    monkeypatch.setattr(images, "fit_ensemble", lambda *_, seeds, **__: [history(each) for each in seeds])
    found = images.train_together(TINY, "content", members, train)
    assert found == [each.history for each in members][:trainings]
    notes = images.notes_of(TINY, train, found)
    assert notes["images_per_second"] == [5, 6, 7][:trainings] and notes["resumed_seconds"] == 2 * trainings


def test_settings_are_tried_out_on_validation_images():
    tried, counted = (images.run(TINY.changed(eval_split=split)) for split in ("validation", "test"))
    for index, model in enumerate(("content", "positional")):
        last = [each[-1] for each in tried.arrays["accuracy_by_epoch"][index]]
        assert tried.metrics[f"accuracy_{model}"] == pytest.approx(last, abs=1e-3)
        assert [each[-1] for each in counted.arrays["accuracy_by_epoch"][index]] == pytest.approx(last)
    assert not np.array_equal(tried.arrays["images"], counted.arrays["images"])


def test_the_cost_of_imagenet_is_counted_attention_included():
    cost = images.training_cost(resolve("07_imagenet", preset="paper"), num_images=10)
    tokens, width, depth = 197, 192, 12
    block, keys_and_values = 12 * width**2 + 2 * tokens * width, 2 * width**2
    # of the last block only the CLS token is read
    by_hand = 2 * tokens * ((depth - 1) * block + keys_and_values)
    assert cost["forward"] == pytest.approx(by_hand, rel=0.03)
    assert cost["training"] == cost["forward"] * 3 * 10 * 300


def test_the_papers_picture_is_drawn_from_a_file_of_weights(tmp_path):
    timm = pytest.importorskip("timm")
    torch.save(timm.create_model("vit_small_patch32_224").state_dict(), tmp_path / "weights.pt")
    picture = pretrained.run(PretrainedSettings(pretrained=str(tmp_path / "weights.pt")))
    assert picture.arrays["similarity_after"].shape == (1, 49, 49)
    assert not np.array_equal(picture.arrays["similarity_after"], picture.arrays["similarity_before"])
    assert pretrained.run(PretrainedSettings()) is None
