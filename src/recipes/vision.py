"""Recipes of the experiments: ViTs with content and with positional attention, trained side by side on images."""

import numpy as np
import torch
from torch import nn

from src.recipes import Measured, recipe
from src.seeding import child_generator
from src.vision.augment import normalize, standard_augmentation
from src.vision.images import ImageSet, load_images
from src.vision.probes import Locality, attention_distance, attention_maps, locality, position_similarity
from src.vision.training import TrainingSettings, evaluate, fit
from src.vision.vit import ATTENTIONS, VisionTransformer


@recipe("05_cifar", "pe-locality", "positional-cifar10", "positional-cifar100")
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
    epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    device: torch.device,
) -> Measured:
    """Claims `pe-locality` and `positional-…`: both attentions on the same images, from the same start.

    Source: the paper's experiments on CIFAR and ImageNet, and its picture of encoding similarities. Cost: the
    defaults under a minute on two cores; the paper's 300 epochs need an accelerator. Expected: accuracies
    within 3 points of each other; locality rises from about 0 in both. The test images are looked at once, at
    the end of each training.
    """
    train, validation, test = (
        load_images(
            dataset,
            data_folder or None,
            split,
            train_limit or None if split == "train" else None,
            image_size=image_size,
            download=download,
        )
        for split in ("train", "validation", "test")
    )
    grid = (image_size // patch_size,) * 2
    runs = {attention: [] for attention in ATTENTIONS}
    for index in range(num_seeds):
        for attention in ATTENTIONS:
            model = VisionTransformer(
                image_size,
                patch_size,
                len(train.classes),
                embed_dim,
                depth,
                num_heads,
                mlp_dim,
                attention,
                generator=child_generator(seed, "initialization", index),
            ).to(device)
            history = fit(
                model,
                train,
                validation=validation,
                settings=TrainingSettings(
                    epochs=epochs,
                    batch_size=batch_size,
                    learning_rate=learning_rate,
                    weight_decay=weight_decay,
                    seed=child_generator(seed, "training", index).initial_seed() % 2**31,
                    accelerator=device.type,
                ),
                augmentation=standard_augmentation(dataset, image_size),
                callback=lambda epoch, model: position_similarity(model).cpu(),
            )
            runs[attention].append((model, history, evaluate(model, test).accuracy))
    return _compare(runs, grid, test)


def _compare(runs: dict[str, list[tuple]], grid: tuple[int, int], test: ImageSet) -> Measured:
    """Metrics of every run, and arrays over (models, seeds, epochs); pictures are of the first seed."""
    metrics, arrays = {}, {"grid": np.array(grid)}
    similarity = {
        attention: [
            [history.observations[epoch] for epoch in sorted(history.observations)] for _, history, _ in each
        ]
        for attention, each in runs.items()
    }
    local: dict[str, list[list[Locality]]] = {
        attention: [[locality(each, grid) for each in seed] for seed in by_seed]
        for attention, by_seed in similarity.items()
    }
    for attention, each in runs.items():
        metrics[f"accuracy_{attention}"] = [accuracy for _, _, accuracy in each]
        metrics[f"locality_before_{attention}"] = [seed[0].correlation for seed in local[attention]]
        metrics[f"locality_{attention}"] = [seed[-1].correlation for seed in local[attention]]
        metrics[f"neighbour_share_{attention}"] = [seed[-1].neighbour_share for seed in local[attention]]
        attended = attention_maps(each[0][0], _inputs(test, each[0][0]))
        arrays[f"attention_{attention}"] = attended.cpu()
    metrics["neighbour_share_chance"] = [local["content"][0][0].chance_share]
    metrics["accuracy_gap"] = [
        content - positional
        for content, positional in zip(
            metrics["accuracy_content"], metrics["accuracy_positional"], strict=True
        )
    ]
    histories = [[history for _, history, _ in runs[attention]] for attention in ATTENTIONS]
    middle = len(similarity["content"][0]) // 2
    for stage, epoch in (("before", 0), ("during", middle), ("after", -1)):
        arrays[f"similarity_{stage}"] = torch.stack(
            [similarity[attention][0][epoch] for attention in ATTENTIONS]
        )
    arrays |= {
        "loss_by_epoch": np.array([[history.train_loss for history in model] for model in histories]),
        "accuracy_by_epoch": np.array(
            [[history.validation_accuracy for history in model] for model in histories]
        ),
        "locality_by_epoch": np.array(
            [[[epoch.correlation for epoch in seed] for seed in local[attention]] for attention in ATTENTIONS]
        ),
        "distance_by_head": np.stack(
            [attention_distance(torch.as_tensor(arrays[f"attention_{name}"]), grid) for name in ATTENTIONS]
        ),
        "images": test.images[:10].permute(0, 2, 3, 1).cpu(),
        "labels": np.array([test.classes[label] for label in test.labels[:10]]),
    }
    return Measured(metrics, arrays)


def _inputs(images: ImageSet, model: nn.Module) -> torch.Tensor:
    """The first 64 test images as the model takes them."""
    device = next(model.parameters()).device
    return normalize(images.images[:64].to(device), images.mean, images.std)
