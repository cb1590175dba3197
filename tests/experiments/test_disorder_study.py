"""What `locality-needs-order` measures: who sees which images, and which places show what is near."""

import numpy as np
import pytest
import torch

from src.experiments import disorder as study
from src.experiments.images import Trained
from src.experiments.study_settings import DISORDERS, DisorderSettings
from src.vision.image_sets import ImageSet
from src.vision.permutation import permute_patches
from src.vision.probes import locality, mantel_test, nearness_correlation, undo_permutation

SMALL = {"patch_size": 4, "embed_dim": 8, "depth": 1, "num_heads": 2, "mlp_dim": 8, "epochs": 1}
SETTINGS = DisorderSettings(**SMALL, train_limit=80)


@pytest.fixture(scope="module")
def data() -> ImageSet:
    drawn = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (12, 3, 16, 16), generator=drawn, dtype=torch.uint8)
    images = images[:3].repeat(4, 1, 1, 1)  # each of three pictures four times
    return ImageSet(images, torch.tensor([0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1]), ("a", "b"))


def seen(data: ImageSet, condition: str, index: int = 0) -> torch.Tensor:
    return study.Disorder(condition, index, SETTINGS)(data).images


def test_places_are_kept_or_moved_alike_by_class_or_by_image(data):
    assert torch.equal(seen(data, "in_place"), data.images)
    number = {}
    for condition in DISORDERS:
        pictures = seen(data, condition).reshape(4, 3, -1)  # (copies, pictures, pixels)
        number[condition] = len(pictures[:, 0].unique(dim=0))
        assert (
            not torch.equal(pictures[0].float(), data.images[:3].flatten(1).float())
            or condition == "in_place"
        )
    assert number == {"in_place": 1, "permuted": 1, "by_class": 2, "by_image": 4, "warped": 1}


def test_the_next_repetition_has_other_orders_and_the_same_warp(data):
    for condition in ("permuted", "by_class", "by_image"):
        assert not torch.equal(seen(data, condition), seen(data, condition, 1))
    assert torch.equal(seen(data, "warped"), seen(data, "warped", 1))


def test_training_and_test_images_share_the_orders_of_a_class(data):
    disorder = study.Disorder("by_class", 0, SETTINGS)
    half = ImageSet(data.images[6:], data.labels[6:], data.classes)
    assert torch.equal(disorder(half).images, disorder(data).images[6:])


def test_the_distance_of_sources_undoes_a_permutation(data):
    disorder = study.Disorder("permuted", 0, SETTINGS)
    (order,) = disorder.orders(1)
    assert torch.equal(disorder(data).images, permute_patches(data.images, order, 4))
    similarity = torch.randn(16, 16, generator=torch.Generator().manual_seed(1))
    similarity = similarity + similarity.T
    undone = undo_permutation(similarity, order)
    by_sources = nearness_correlation(similarity, disorder.sources(2))
    assert by_sources == pytest.approx(locality(undone, (4, 4)).correlation)
    drawn = [torch.Generator().manual_seed(2) for _ in range(2)]
    p = mantel_test(similarity, disorder.sources(2), permutations=4000, generator=drawn[0])
    assert p == pytest.approx(mantel_test(undone, (4, 4), permutations=4000, generator=drawn[1]), abs=0.03)


def test_by_class_the_distance_is_the_mean_over_the_classes():
    disorder = study.Disorder("by_class", 0, SETTINGS)
    orders, found = disorder.orders(3), disorder.sources(3)
    for i, j in ((0, 1), (3, 9)):
        places = [(divmod(order[i].item(), 4), divmod(order[j].item(), 4)) for order in orders]
        apart = [((a - c) ** 2 + (b - d) ** 2) ** 0.5 for (a, b), (c, d) in places]
        assert found[i, j].item() == pytest.approx(sum(apart) / 3)
    assert study.Disorder("by_image", 0, SETTINGS).sources(3) is None


def test_models_of_a_repetition_start_alike_and_what_is_drawn_is_the_first_one():
    measured = study.run(SETTINGS.changed(num_seeds=2, conditions=["in_place", "by_image"]))
    assert measured.arrays["similarity"].shape == (2, 2, 16, 16)
    assert measured.arrays["images"].shape == (2, 16, 16, 3)
    assert all(len(values) == 2 for values in measured.metrics.values())
    alone = study.run(SETTINGS.changed(conditions=["by_image"]))
    assert alone.metrics["grid_by_image_content"][0] == measured.metrics["grid_by_image_content"][0]
    assert np.isnan(measured.metrics["sources_by_image_content"]).all()
    assert measured.metrics["lead_in_place_content"] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"conditions": ["shuffled"]},
            "conditions = .*: some of in_place, permuted, .*, each once, is needed",
        ),
        ({"conditions": ["warped", "warped"]}, "each once"),
        ({"mixup": 0.5}, "mixup = 0.5: 0.0, for nothing but the condition may move patches, is needed"),
        ({"permute": True}, "permute = True"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        DisorderSettings(**changes)


def test_the_lead_is_of_the_sources_over_the_grid(monkeypatch):
    monkeypatch.setattr(
        study, "position_similarity", lambda model: -study.Disorder("warped", 0, SETTINGS).sources(2).float()
    )
    found = study._measure(
        Trained(torch.nn.Identity(), 0), "content", study.Disorder("warped", 0, SETTINGS), 2
    )
    assert (
        found["sources"] == pytest.approx(1)
        and found["lead"] == pytest.approx(1 - found["grid"])
        and found["lead"] > 0.01
    )
