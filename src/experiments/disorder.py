"""Claim `locality-needs-order`: what encodings learn where the places of patches are permuted or warped."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from src.common.choices import refusal
from src.common.folders import check_writable
from src.common.seeding import child_generator, child_seed
from src.common.shapes import Float, Int64
from src.experiments.images import Trained, load, new_model, notes_of, training_settings
from src.experiments.measured import Measured, columns
from src.experiments.study_settings import DisorderSettings
from src.vision.augment import UNCHANGED
from src.vision.disorder import permute_each, random_orders, source_distance, swirl, warp
from src.vision.image_sets import ImageSet
from src.vision.probes import grid_distance, mantel_test, nearness_correlation, position_similarity
from src.vision.training import evaluate, fit
from src.vision.vit import ATTENTIONS


@dataclass(frozen=True)
class Disorder:
    """What one condition does to images, in one repetition."""

    condition: str
    index: int
    settings: DisorderSettings

    def __call__(self, data: ImageSet) -> ImageSet:
        """The images as the models see them."""
        size, patch = self.settings.image_size, self.settings.patch_size
        if self.condition == "in_place":
            return data
        if self.condition == "warped":
            return replace(data, images=warp(data.images, swirl(size, self.settings.turns)))
        if self.condition == "by_image":  # the stream is named by the images: those of the test are others
            orders = self.orders(len(data), data.digest())
        else:
            which = data.labels if self.condition == "by_class" else torch.zeros_like(data.labels)
            orders = self.orders(len(data.classes))[which]
        return replace(data, images=permute_each(data.images, orders, patch))

    def sources(self, num_classes: int) -> Float[Tensor, "patches patches"] | None:
        """Mean distance, over the classes, of what two places show in the undisturbed images; None by image."""
        size, patch = self.settings.image_size, self.settings.patch_size
        if self.condition == "by_image":
            return None
        if self.condition == "warped":
            return source_distance(swirl(size, self.settings.turns), patch)
        distance = grid_distance((size // patch, size // patch))
        if self.condition == "in_place":
            return distance
        orders = self.orders(1 if self.condition == "permuted" else num_classes)
        return distance[orders[:, :, None], orders[:, None, :]].mean(0)

    def orders(self, count: int, *name: str) -> Int64[Tensor, "count patches"]:
        patches = (self.settings.image_size // self.settings.patch_size) ** 2
        drawn = child_generator(self.settings.seed, "orders", self.condition, self.index, *name)
        return random_orders(count, patches, generator=drawn)


def run(settings: DisorderSettings) -> Measured:
    """A study of the companion's own. Cost: the preset `laptop` takes twenty minutes on one thread.

    Each condition trains both attentions from the same start, on the same images in the same order, without crop and
    flip. Accuracy is on images treated alike; by class it says nothing, for there the places tell the class.
    Hypothesis: similarity follows the distance between what two places show in the undisturbed images, their sources;
    and no distance where these are other ones in every image.
    """
    check_writable(settings.checkpoint_folder)
    train, test = (_in_memory(settings, split) for split in ("train", settings.eval_split))
    rows, trained, pictures = [], [], []
    for index in range(settings.num_seeds):
        row: dict[str, float | None] = {}
        for condition in settings.conditions:
            disorder = Disorder(condition, index, settings)
            seen, shown = disorder(train), disorder(test)
            if index == 0:
                # a view would keep all images
                pictures.append(shown.images[0].permute(1, 2, 0).cpu().clone())
            for kind in ATTENTIONS:
                member = _train(kind, seen, disorder)
                member.accuracy = evaluate(member.model, shown).accuracy
                found = _measure(member, kind, disorder, len(train.classes))
                row |= {f"{name}_{condition}_{kind}": value for name, value in found.items()}
                trained.append(member)
        rows.append(row)
    count = len(settings.conditions)
    first = [position_similarity(each.model).cpu() for each in trained[: count * len(ATTENTIONS)]]
    arrays = {
        # first repetition: conditions, attentions
        "similarity": torch.stack(first).unflatten(0, (count, -1)),
        "images": torch.stack(pictures),
    }
    return Measured(columns(rows), arrays, notes_of(settings, train, [each.history for each in trained]))


def _in_memory(settings: DisorderSettings, split: str) -> ImageSet:
    data = load(settings, split)
    if not isinstance(data, ImageSet):
        raise ValueError(refusal("dataset", settings.dataset, "a set of images that fits the memory"))
    return data


def _train(kind: str, seen: ImageSet, disorder: Disorder) -> Trained:
    """One model; its start and the order of the images are those of the repetition in every condition."""
    settings, index = disorder.settings, disorder.index
    seed = child_seed(settings.seed, "training", index)
    start = child_generator(settings.seed, "initialization", index)
    model = new_model(settings, kind, len(seen.classes), start)
    how = replace(training_settings(settings), seed=seed, augmentation=UNCHANGED)
    name = f"{disorder.condition}-{kind}-{settings.seed}-{index}.pt"
    checkpoint = Path(settings.checkpoint_folder, name) if settings.checkpoint_folder else None
    return Trained(model, seed, fit(model, seen, settings=how, checkpoint=checkpoint))


def _measure(run: Trained, kind: str, disorder: Disorder, num_classes: int) -> dict[str, float | None]:
    """How similarity follows the distance on the grid and of the sources; the Mantel test is of the sources.

    By image there are no sources: the test is of the grid, and what needs them has no value.
    """
    settings, similarity = disorder.settings, position_similarity(run.model).cpu()
    grid = grid_distance((settings.image_size // settings.patch_size,) * 2)
    sources = disorder.sources(num_classes)
    drawn = child_generator(settings.seed, "mantel", disorder.condition, kind, disorder.index)
    by_grid = nearness_correlation(similarity, grid)
    by_sources = float("nan") if sources is None else nearness_correlation(similarity, sources)
    different = ~torch.eye(len(similarity), dtype=torch.bool)
    return {
        "grid": by_grid,
        "sources": by_sources,
        "lead": by_sources - by_grid,
        "mantel_p": mantel_test(similarity, grid if sources is None else sources, generator=drawn),
        "alike": similarity[different].mean().item(),
        "accuracy": run.accuracy,
    }
