"""Recipes of the experiments: ViTs with content and with positional attention, trained side by side on images."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from src.recipes import Measured, recipe
from src.seeding import child_generator
from src.vision.augment import normalize, standard_augmentation
from src.vision.convnet import SmallConvNet
from src.vision.images import ImageSet, load_images
from src.vision.probes import (
    Locality,
    attention_distance,
    attention_maps,
    locality,
    position_similarity,
    undo_permutation,
)
from src.vision.training import TrainingHistory, TrainingSettings, evaluate, fit
from src.vision.vit import ATTENTIONS, Permuted, VisionTransformer


@recipe("05_cifar", "pe-locality", "permuted", "positional-cifar10", "positional-cifar100")
def positional(
    *,
    seed: int,
    num_seeds: int,
    dataset: str,
    data_folder: str,
    download: bool,
    train_limit: int,
    image_size: int,
    patch_size: int,
    embed_dim: int,
    depth: int,
    num_heads: int,
    mlp_dim: int,
    permute: bool,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    label_smoothing: float,
    device: torch.device,
) -> Measured:
    """Claims `pe-locality`, `permuted`, `positional-…`: both attentions on the same images, from the same start.

    Source: the paper's experiments on CIFAR, and its picture of encoding similarities. Cost: the defaults under a
    minute on two cores; 300 epochs of CIFAR need an accelerator. Expected: accuracies within 3 points of each
    other; locality rises from about 0 in both. With `permute`, all is trained once more on images whose patches are
    permuted by one fixed permutation, and so is a small convolutional net, the control. The test images are
    looked at once, at the end of each training.
    """
    train, validation, test = (
        load_images(
            dataset,
            data_folder or None,
            split,
            (train_limit or None) if split == "train" else None,
            image_size=image_size,
            download=download,
        )
        for split in ("train", "validation", "test")
    )
    settings = TrainingSettings(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        accelerator=device.type,
    )
    shape = (image_size, patch_size, len(train.classes), embed_dim, depth, num_heads, mlp_dim)
    runs: dict[str, list[Run]] = {}
    for index in range(num_seeds):
        order = torch.randperm(
            (image_size // patch_size) ** 2, generator=child_generator(seed, "permutation", index)
        )
        for name in (*ATTENTIONS, "convnet") if permute else ATTENTIONS:
            for permutation in (None, order) if permute else (None,):
                start = child_generator(seed, "initialization", index)
                if name == "convnet":
                    model = SmallConvNet(len(train.classes), 16, generator=start)
                else:
                    model = VisionTransformer(*shape, name, generator=start)
                run = Run(model, permutation, patch_size)
                run.train(
                    train, validation, test, replace(settings, seed=_seed(seed, "training", index)), dataset
                )
                runs.setdefault(name if permutation is None else f"{name}_permuted", []).append(run)
    return _compare(runs, (image_size // patch_size,) * 2, test)


@dataclass
class Run:
    """One model, how it was trained, and what came of it; similarities are back on the grid of the images."""

    model: nn.Module
    permutation: Int[Tensor, " patches"] | None
    patch_size: int
    history: TrainingHistory | None = None
    accuracy: float = float("nan")

    def train(
        self, train: ImageSet, validation: ImageSet, test: ImageSet, settings: TrainingSettings, dataset: str
    ) -> None:
        trained = (
            self.model
            if self.permutation is None
            else Permuted(self.model, self.permutation, self.patch_size)
        )
        self.history = fit(
            trained,
            train,
            validation=validation,
            settings=settings,
            augmentation=standard_augmentation(dataset, train.image_size),
            callback=self._observe,
        )
        self.accuracy = evaluate(trained, test).accuracy

    def _observe(self, epoch: int, trained: nn.Module) -> Tensor | None:
        if not isinstance(self.model, VisionTransformer):
            return None
        similarity = position_similarity(self.model).cpu()
        return similarity if self.permutation is None else undo_permutation(similarity, self.permutation)

    def similarity(self) -> list[Tensor]:
        """(patches, patches) at each epoch, from 0."""
        return [self.history.observations[epoch] for epoch in sorted(self.history.observations)]


def _seed(*name: int | str) -> int:
    return child_generator(*name).initial_seed() % 2**31


def _compare(runs: dict[str, list[Run]], grid: tuple[int, int], test: ImageSet) -> Measured:
    """Metrics of every run, and arrays over (models, seeds, epochs); pictures are of the first seed."""
    metrics: dict[str, list[float]] = {}
    local: dict[str, list[list[Locality]]] = {}
    for name, each in runs.items():
        metrics[f"accuracy_{name}"] = [run.accuracy for run in each]
        if not name.startswith("convnet"):
            local[name] = [[locality(similarity, grid) for similarity in run.similarity()] for run in each]
            metrics[f"locality_before_{name}"] = [epochs[0].correlation for epochs in local[name]]
            metrics[f"locality_{name}"] = [epochs[-1].correlation for epochs in local[name]]
            metrics[f"neighbour_share_{name}"] = [epochs[-1].neighbour_share for epochs in local[name]]
        if f"{name}_permuted" in runs:
            pairs = zip(each, runs[f"{name}_permuted"], strict=True)
            metrics[f"loss_{name}"] = [plain.accuracy - permuted.accuracy for plain, permuted in pairs]
    metrics["neighbour_share_chance"] = [local["content"][0][0].chance_share]
    pairs = zip(runs["content"], runs["positional"], strict=True)
    metrics["accuracy_gap"] = [content.accuracy - positional.accuracy for content, positional in pairs]

    arrays = {"grid": np.array(grid), "labels": np.array([test.classes[label] for label in test.labels[:10]])}
    arrays["images"] = test.images[:10].permute(0, 2, 3, 1).cpu()
    for suffix in ("", "_permuted") if "content_permuted" in runs else ("",):
        models = [f"{attention}{suffix}" for attention in ATTENTIONS]
        similarity = [runs[name][0].similarity() for name in models]
        for stage, epoch in (("before", 0), ("during", len(similarity[0]) // 2), ("after", -1)):
            arrays[f"similarity_{stage}{suffix}"] = torch.stack([epochs[epoch] for epochs in similarity])
        histories = [[run.history for run in runs[name]] for name in models]
        arrays[f"loss_by_epoch{suffix}"] = [[each.train_loss for each in model] for model in histories]
        arrays[f"accuracy_by_epoch{suffix}"] = [
            [each.validation_accuracy for each in model] for model in histories
        ]
        arrays[f"locality_by_epoch{suffix}"] = [
            [[epoch.correlation for epoch in seed] for seed in local[name]] for name in models
        ]
    attention = [
        attention_maps(runs[name][0].model, _inputs(test, runs[name][0].model)).cpu() for name in ATTENTIONS
    ]
    arrays |= {f"attention_{name}": maps for name, maps in zip(ATTENTIONS, attention, strict=True)}
    arrays["distance_by_head"] = torch.stack([attention_distance(maps, grid) for maps in attention])
    return Measured(metrics, arrays)


def _inputs(images: ImageSet, model: nn.Module) -> Float[Tensor, "batch 3 height width"]:
    """The first 64 images as the model takes them."""
    return normalize(images.images[:64].to(next(model.parameters()).device), images.mean, images.std)
