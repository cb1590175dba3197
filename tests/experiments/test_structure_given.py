"""What `structure-given` measures: about equal steps, paired differences, where attention goes; and what it refuses."""

import numpy as np
import pytest
import torch

from src.experiments import given
from src.experiments.images import Trained
from src.experiments.study_settings import GivenSettings
from src.vision.images import load_images
from src.vision.probes import grid_distance
from src.vision.training import Evaluation, TrainingHistory

SMALL = {"image_size": 8, "patch_size": 4, "embed_dim": 8, "depth": 1, "num_heads": 2, "mlp_dim": 8}


def test_a_share_of_the_images_is_seen_as_often_more():
    settings = GivenSettings(**SMALL, train_limit=200, epochs=3, share=0.25, warmup_epochs=0.5, batch_size=50)
    few = given._few(settings)
    assert (few.train_limit, few.epochs, few.warmup_epochs) == (50, 12, 2.0)
    assert few.changed(train_limit=200, epochs=3, warmup_epochs=0.5) == settings
    # a quarter of all digits to train on
    assert given._few(settings.changed(train_limit=0)).train_limit == 324


def test_a_share_of_less_than_a_batch_is_refused_with_the_least_that_will_do():
    settings = GivenSettings(**SMALL, train_limit=200, batch_size=50, share=0.001)
    told = r"^share = 0.001: at least one batch, 50 of 200 images, is needed; the nearest: 0.25$"
    with pytest.raises(ValueError, match=told):
        given._few(settings)
    assert given._few(settings.changed(share=0.25)).train_limit == 50


def test_variants_of_a_repetition_share_start_and_order():
    settings = GivenSettings(**SMALL)
    plain, masked = (given._members(settings, name, 10) for name in ("content", "mask"))
    assert [each.seed for each in plain] == [each.seed for each in masked] and plain[0].seed != plain[1].seed
    for ours, theirs in zip(plain, masked, strict=True):
        assert torch.equal(ours.model.head.weight, theirs.model.head.weight)
    assert not torch.equal(plain[0].model.head.weight, plain[1].model.head.weight)


def test_leads_are_paired():
    settings = GivenSettings(variants=["content", "mask", "positional", "free"])
    accuracy = {"content": [0.4, 0.5], "mask": [0.5, 0.5], "positional": [0.3, 0.2], "free": [0.2, 0.2]}
    runs = {
        (size, name): [Trained(torch.nn.Identity(), 0, accuracy=each) for each in values]
        for size in ("few", "all")
        for name, values in accuracy.items()
    }
    found = given._accuracies(settings, runs)
    assert found["accuracy_few_mask"] == [0.5, 0.5]
    assert found["lead_few_mask"] == pytest.approx([0.1, 0.0])
    assert found["over_positional_all_free"] == pytest.approx([-0.1, 0.0])
    assert "lead_few_content" not in found and "over_positional_few_positional" not in found


def test_uniform_attention_has_the_profile_one_and_attention_to_itself_the_distance_zero():
    uniform, itself = torch.full((2, 1, 5, 5), 0.2), torch.eye(5).expand(2, 1, 5, 5)
    arrays = given._arrays({(size, "x"): [uniform, itself] for size in ("few", "all")}, (2, 2))
    assert np.allclose(arrays["distance"], [0, 1, 2**0.5])
    assert np.allclose(arrays["profile_few"], [[[1, 1, 1], [4, 0, 0]]])
    found = given._looks(GivenSettings(), "x", [uniform, itself], (2, 2))
    assert found["distance"] == pytest.approx([(1 + 1 + 2**0.5) / 4, 0.0])
    assert np.isnan(found["locality"]).all()  # nothing varies between different patches


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": ["content", "content"]}, "variants = .*: some of content, mask, .*, each once"),
        ({"variants": ["convnet"]}, "variants = .*: some of content"),
        ({"permute": True}, "permute = True: false, in this study"),
        ({"image_size": 12, "patch_size": 3}, "patch_size = 3: a power of two from 2 on"),
        ({"embed_dim": 18, "num_heads": 3}, "embed_dim = 18: a multiple of 4, for mimetic, is .*: 24$"),
        (
            {"image_size": 16, "patch_size": 16, "embed_dim": 4},
            "embed_dim = 4: at least half of patch_size = 16, for convolved, is needed; the nearest: 8$",
        ),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        GivenSettings(**changes)
    if "embed_dim" in changes:
        assert GivenSettings(**changes | {"embed_dim": int(str(caught.value).split()[-1])})


def test_few_images_are_trained_on_in_more_epochs_and_all_models_are_measured_on_eval_split(monkeypatch):
    trained, measured = [], []
    monkeypatch.setattr(
        given, "evaluate", lambda model, data: measured.append(data) or Evaluation(0.0, 0.5, 1)
    )

    def together(settings, name, members, train):
        trained.append((name, settings.epochs, settings.warmup_epochs, len(train)))
        return [TrainingHistory(images_per_second=[1.0])]

    monkeypatch.setattr(given, "train_together", together)
    given.run(
        GivenSettings(
            **SMALL,
            variants=["content"],
            num_seeds=1,
            train_limit=128,
            share=0.5,
            epochs=3,
            warmup_epochs=0.5,
        )
    )
    assert trained == [("few-content", 6, 1.0, 64), ("all-content", 3, 0.5, 128)]
    test = load_images("digits", split="test").digest()
    assert [each.digest() for each in measured] == [test] * 2


def test_how_attention_follows_the_grid_is_read_from_patches_not_from_cls():
    near = torch.zeros(1, 1, 10, 10)
    near[..., 1:, 1:] = torch.exp(-grid_distance((3, 3))).float()
    found = given._looks(GivenSettings(), "x", [near], (3, 3))
    assert found["locality"][0] > 0.9 and found["mantel_p"] == [pytest.approx(0.001, abs=0.004)]
