"""Claim `permuted-blocks`: accuracy against the side of the permuted blocks, of a ViT and of two convolutional nets."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from src.common.folders import check_writable
from src.common.seeding import child_generator, child_seed
from src.common.shapes import Int
from src.experiments.base import need
from src.experiments.images import load, new_model, notes_of, training_settings
from src.experiments.measured import Measured
from src.experiments.settings import LocalitySettings
from src.vision.convnet import small_resnet18, small_vgg11
from src.vision.permutation import Permuted
from src.vision.training import TrainingHistory, evaluate, fit

NETWORKS = ("vit", "resnet", "vgg")
LEAST_SIDE = 16  # pixels: VGG halves the side four times


def run(settings: LocalitySettings) -> Measured:
    """Source: Figure 5a of the paper. Cost: no chapter runs it; the preset `laptop` takes two hours on one thread.

    Expected: the ViT loses nothing where blocks hold whole patches; ResNet and VGG lose with every halving of the
    block. All networks are trained alike, by the settings; in one repetition each starts from the same weights at
    every side. `eval_split` is looked at once for each, after its training.
    """
    check_writable(settings.checkpoint_folder)
    size, patch = settings.image_size, settings.patch_size
    needed = f"at least {LEAST_SIDE}, which VGG halves four times,"
    need(size >= LEAST_SIDE, "image_size", size, needed, -(-LEAST_SIDE // patch) * patch)
    sides = settings.block_sides or _doubled(patch, size)
    need(len(sides) > 1, "patch_size", patch, f"a divisor of image_size = {size}, below it,", size // 2)
    splits = ("train", "validation", settings.eval_split)
    train, validation, measured = (load(settings, split) for split in splits)
    accuracy = torch.empty(len(NETWORKS), len(sides), settings.num_seeds)
    by_epoch = torch.empty(*accuracy.shape, settings.epochs)
    histories: list[TrainingHistory] = []
    for index in range(settings.num_seeds):
        seed = child_seed(settings.seed, "training", index)
        how = replace(training_settings(settings), seed=seed)
        for row, network in enumerate(NETWORKS):
            for column, side in enumerate(sides):
                model = _new(settings, network, len(train.classes), index)
                model = Permuted(model, _order(settings, side, index), side)
                name = f"{network}-{side}-{settings.seed}-{index}.pt"
                checkpoint = settings.checkpoint_folder and Path(settings.checkpoint_folder, name)
                history = fit(
                    model, train, validation=validation, settings=how, checkpoint=checkpoint or None
                )
                histories.append(history)
                accuracy[row, column, index] = evaluate(model, measured).accuracy
                by_epoch[row, column, index] = torch.tensor(history.validation_accuracy)
    total = accuracy[:, -1] - accuracy[:, 0]  # lost from the whole image to the smallest blocks
    halving = (accuracy[:, 1:] - accuracy[:, :-1]).amin(1)  # the least that one step costs
    metrics = {
        "blocks_loss_vit": total[0].tolist(),
        "blocks_loss_resnet": total[1].tolist(),
        "blocks_loss_vgg": total[2].tolist(),
        "least_step_resnet": halving[1].tolist(),
        "least_step_vgg": halving[2].tolist(),
    }
    arrays = {"block_sides": sides, "accuracy": accuracy, "accuracy_by_epoch": by_epoch}
    return Measured(metrics, arrays, notes_of(settings, train, histories))


def _doubled(side: int, whole: int) -> list[int]:
    """`side` and its doubles, as far as they divide the image, and the image itself."""
    if side == whole:
        return [whole]
    return [side, *_doubled(whole if whole % (2 * side) else 2 * side, whole)]


def _new(settings: LocalitySettings, network: str, num_classes: int, index: int) -> nn.Module:
    """Untrained; the same for every side of the blocks."""
    generator = child_generator(settings.seed, "initialization", index)
    if network == "vit":
        return new_model(settings, "content", num_classes, generator)
    with torch.random.fork_rng(devices=[]):  # torchvision draws from the global stream
        torch.manual_seed(generator.initial_seed())
        return small_resnet18(num_classes) if network == "resnet" else small_vgg11(num_classes)


def _order(settings: LocalitySettings, side: int, index: int) -> Int[torch.Tensor, " blocks"]:
    """One fixed permutation of the blocks; for a single block, the image itself, there is no other."""
    blocks = (settings.image_size // side) ** 2
    return torch.randperm(blocks, generator=child_generator(settings.seed, "permutation", side, index))
