"""Claims `positional-…`, `pe-locality`, `permuted`: both attentions on the same images, from the same start."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from src.common.choices import arguments_called
from src.common.device import pick_device
from src.common.folders import check_writable
from src.common.seeding import child_generator, child_seed
from src.common.shapes import Float, Int
from src.experiments.measured import Measured
from src.experiments.settings import ImagesSettings
from src.vision.augment import Augmentation, normalize, standard_augmentation
from src.vision.convnet import SmallConvNet
from src.vision.image_sets import ImageSet, StreamedImages
from src.vision.images import load_images
from src.vision.permutation import Permuted
from src.vision.probes import (
    attention_distance,
    attention_maps,
    locality,
    mantel_test,
    position_similarity,
    undo_permutation,
)
from src.vision.training import (
    NonFiniteLossError,
    TrainingHistory,
    TrainingSettings,
    chosen_precision,
    evaluate,
    fit,
    fit_ensemble,
)
from src.vision.vit import ATTENTIONS, VisionTransformer

Images = ImageSet | StreamedImages


@dataclass
class Trained:
    """One model, how it was trained, and what came of it; similarities are back on the grid of the images.

    model : the network itself, or `Permuted` around it. seed : of its training.
    """

    model: nn.Module
    seed: int
    history: TrainingHistory | None = None
    accuracy: float = float("nan")

    @property
    def network(self) -> nn.Module:
        return self.model.model if isinstance(self.model, Permuted) else self.model

    def similarity(self) -> list[Float[Tensor, "patches patches"]]:
        """At each epoch, from 0."""
        return [self.history.observations[epoch] for epoch in sorted(self.history.observations)]


def run(settings: ImagesSettings) -> Measured:
    """Source: the paper's experiments on CIFAR, SVHN and ImageNet, and its picture of encoding similarities.

    Cost: the defaults under a minute on two cores; 300 epochs of CIFAR, and ImageNet, need an accelerator. Expected:
    accuracies within 3 points of each other; locality rises from about 0 in both. With `permute`, all is trained once
    more on images whose patches are permuted by one fixed permutation, and so is a small convolutional net, the
    control. The images of `eval_split` are looked at once, at the end of each training; what is tried out is measured
    on "validation", and counts for no claim.
    """
    check_writable(settings.checkpoint_folder)
    splits = ("train", "validation", settings.eval_split)
    train, validation, measured = (load(settings, split) for split in splits)
    kinds = (*ATTENTIONS, "convnet") if settings.permute else ATTENTIONS
    runs: dict[str, list[Trained]] = {}
    histories: list[TrainingHistory] = []
    for kind in kinds:
        groups = new_models(settings, kind, len(train.classes))
        members = [member for group in zip(*groups.values(), strict=True) for member in group]
        histories += train_together(settings, kind, members, train, validation)
        for member in members:
            member.accuracy = evaluate(member.model, measured).accuracy
        runs |= groups
    grid = (settings.image_size // settings.patch_size,) * 2
    notes = notes_of(settings, train, histories)
    metrics = _metrics(runs, grid) | _mantel(settings, runs, grid)
    return Measured(metrics, _curves(runs, grid) | _pictures(runs, grid, measured), notes)


def notes_of(
    settings: ImagesSettings, train: Images, histories: Sequence[TrainingHistory]
) -> dict[str, object]:
    """What a record tells beside its metrics; `sources` where checkpoints came from another version of the source.

    `images_per_second` is of each training, in their order, the median over its epochs.
    """
    sources = sorted({source for history in histories for source in history.sources})
    return {
        "precision": chosen_precision(training_settings(settings)),
        "classes": len(train.classes),
        "images_per_second": [round(median(history.images_per_second)) for history in histories],
        "resumed_seconds": sum(history.resumed_seconds for history in histories),
        **({"sources": sources} if len(sources) > 1 else {}),
    }


def load(settings: ImagesSettings, split: str) -> Images:
    """One split of the data set; the limit holds for training images alone."""
    limit = settings.train_limit if split == "train" and settings.train_limit else None
    folder, size = settings.data_folder or None, settings.image_size
    with arguments_called(name="dataset", root="data_folder", limit="train_limit"):
        return load_images(
            settings.dataset, folder, split, limit, image_size=size, download=settings.download
        )


def new_models(settings: ImagesSettings, kind: str, num_classes: int) -> dict[str, list[Trained]]:
    """Untrained models, one a repetition: under `kind`, and as "…_permuted" those that will see permuted patches."""
    num_patches = (settings.image_size // settings.patch_size) ** 2
    models: dict[str, list[Trained]] = {kind: []}
    for index in range(settings.num_seeds):
        seed = child_seed(settings.seed, "training", index)
        orders: dict[str, Int[Tensor, " patches"] | None] = {kind: None}
        if settings.permute:
            drawn = child_generator(settings.seed, "permutation", index)
            orders = {kind: torch.arange(num_patches)}  # wrapped too, so that all train as one ensemble
            orders[f"{kind}_permuted"] = torch.randperm(num_patches, generator=drawn)
        for name, order in orders.items():
            start = child_generator(settings.seed, "initialization", index)
            model = new_model(settings, kind, num_classes, start)
            seen = model if order is None else Permuted(model, order, settings.patch_size)
            models.setdefault(name, []).append(Trained(seen, seed))
    return models


def new_model(settings: ImagesSettings, kind: str, num_classes: int, generator: torch.Generator) -> nn.Module:
    """A ViT with "content" or "positional" attention, or the "convnet"."""
    if kind == "convnet":
        return SmallConvNet(num_classes, 16, generator=generator)
    return VisionTransformer(
        settings.image_size,
        settings.patch_size,
        num_classes,
        settings.embed_dim,
        settings.depth,
        settings.num_heads,
        settings.mlp_dim,
        kind,
        add_encoding=settings.add_encoding,
        generator=generator,
    )


def train_together(
    settings: ImagesSettings,
    kind: str,
    members: Sequence[Trained],
    train: Images,
    validation: Images | None = None,
) -> list[TrainingHistory]:
    """Train models of one architecture all at once; one after the other where several processes share each.

    Returns one history for each training: of those trained together the first will do. NonFiniteLossError where the
    loss of one left the finite numbers.
    """
    folder, how = settings.checkpoint_folder, training_settings(settings)
    checkpoint = Path(folder, f"{kind}-{settings.seed}.pt") if folder else None
    options = {"validation": validation, "callback": _observe}
    together = int(os.environ.get("WORLD_SIZE", "1")) == 1
    if together:
        models, seeds = [each.model for each in members], [each.seed for each in members]
        options |= {"settings": how, "checkpoint": checkpoint}
        with arguments_called(compile="compiled_steps"):
            histories = fit_ensemble(models, train, seeds=seeds, **options)
    else:
        histories = []
        for index, member in enumerate(members):
            path = checkpoint and checkpoint.with_stem(f"{checkpoint.stem}-{index}")
            own = replace(how, seed=member.seed)
            histories.append(fit(member.model, train, settings=own, checkpoint=path, **options))
    for member, history in zip(members, histories, strict=True):
        member.history = history
        if len(history) < max(map(len, histories)):
            seed, epochs = member.seed, len(history)
            fault = f"the run with seed {seed} diverged after {epochs} epochs"
            raise NonFiniteLossError(f"{fault}; a lower learning_rate is needed", history)
    return histories[:1] if together else histories


def training_settings(settings: ImagesSettings) -> TrainingSettings:
    return TrainingSettings(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        augmentation=augmentation(settings),
        warmup_epochs=settings.warmup_epochs,
        gradient_clip=settings.gradient_clip or None,
        label_smoothing=settings.label_smoothing,
        precision=settings.precision,
        accelerator=pick_device(settings.device).type,
        compile=settings.compiled_steps or (False if settings.plain_steps else "auto"),
    )


def augmentation(settings: ImagesSettings) -> Augmentation:
    """Crop and flip as usual for the data set, and what the settings add; AutoAugment as learned on such images."""
    standard = standard_augmentation(settings.dataset, settings.image_size)
    name = Path(settings.dataset).name.split("-")[0]
    learned_on = {"cifar10": "cifar10", "cifar100": "cifar10", "svhn": "svhn", "digits": "svhn"}
    policies = {"none": None, "autoaugment": f"autoaugment-{learned_on.get(name, 'imagenet')}"}
    return replace(
        standard,
        policy=policies.get(settings.policy, settings.policy),
        crop_padding=0 if settings.resized_crop else standard.crop_padding,
        resized_crop=settings.resized_crop,
        mixup=settings.mixup,
        cutmix=settings.cutmix,
    )


def _observe(epoch: int, model: nn.Module) -> Float[Tensor, "patches patches"] | None:
    """Similarity of the encodings, as the images have them; None where there are no encodings."""
    permuted = isinstance(model, Permuted)
    network = model.model if permuted else model
    if not isinstance(network, VisionTransformer):
        return None
    similarity = position_similarity(network).cpu()
    return undo_permutation(similarity, model.permutation.cpu()) if permuted else similarity


def _metrics(runs: Mapping[str, list[Trained]], grid: tuple[int, int]) -> dict[str, list[float]]:
    """One value a repetition."""
    content, positional = runs["content"], runs["positional"]
    metrics = {
        "accuracy_content": _accuracy(content),
        "accuracy_positional": _accuracy(positional),
        "accuracy_gap": _difference(content, positional),
    }
    for name in (name for name in runs if not name.startswith("convnet")):
        # locality_before_content, locality_content, neighbour_share_content; …_positional, …_content_permuted, …
        before = [locality(run.similarity()[0], grid) for run in runs[name]]
        after = [locality(run.similarity()[-1], grid) for run in runs[name]]
        metrics[f"locality_before_{name}"] = [each.correlation for each in before]
        metrics[f"locality_{name}"] = [each.correlation for each in after]
        metrics[f"neighbour_share_{name}"] = [each.neighbour_share for each in after]
    metrics["neighbour_share_chance"] = [after[0].chance_share]
    if "convnet" in runs:
        permuted = {kind: runs[f"{kind}_permuted"] for kind in ("content", "positional", "convnet")}
        metrics |= {
            "accuracy_convnet": _accuracy(runs["convnet"]),
            "accuracy_content_permuted": _accuracy(permuted["content"]),
            "accuracy_positional_permuted": _accuracy(permuted["positional"]),
            "accuracy_convnet_permuted": _accuracy(permuted["convnet"]),
            "loss_content": _difference(content, permuted["content"]),
            "loss_positional": _difference(positional, permuted["positional"]),
            "loss_convnet": _difference(runs["convnet"], permuted["convnet"]),
        }
    return metrics


def _mantel(
    settings: ImagesSettings, runs: Mapping[str, list[Trained]], grid: tuple[int, int]
) -> dict[str, list[float]]:
    """mantel_p_content, mantel_p_positional_permuted, …: of the similarity after training, one value a repetition."""
    return {
        f"mantel_p_{name}": [
            mantel_test(
                run.similarity()[-1], grid, generator=child_generator(settings.seed, "mantel", name, index)
            )
            for index, run in enumerate(models)
        ]
        for name, models in runs.items()
        if not name.startswith("convnet")
    }


def _accuracy(runs: Sequence[Trained]) -> list[float]:
    return [run.accuracy for run in runs]


def _difference(runs: Sequence[Trained], others: Sequence[Trained]) -> list[float]:
    """Accuracy of the ones less that of the others, pair by pair."""
    return [run.accuracy - other.accuracy for run, other in zip(runs, others, strict=True)]


def _curves(runs: Mapping[str, list[Trained]], grid: tuple[int, int]) -> dict[str, object]:
    """Over (models, repetitions, epochs), and the first repetition's similarities (models, patches, patches)."""
    arrays: dict[str, object] = {}
    for suffix in ("", "_permuted") if "content_permuted" in runs else ("",):
        models = [runs[f"{attention}{suffix}"] for attention in ATTENTIONS]
        similarity = [model[0].similarity() for model in models]
        for stage, epoch in (("before", 0), ("during", len(similarity[0]) // 2), ("after", -1)):
            arrays[f"similarity_{stage}{suffix}"] = torch.stack([epochs[epoch] for epochs in similarity])
        arrays[f"loss_by_epoch{suffix}"] = [[run.history.train_loss for run in model] for model in models]
        accuracy = [[run.history.validation_accuracy for run in model] for model in models]
        arrays[f"accuracy_by_epoch{suffix}"] = accuracy
        arrays[f"locality_by_epoch{suffix}"] = [
            [[locality(epoch, grid).correlation for epoch in run.similarity()] for run in model]
            for model in models
        ]
    return arrays


def _pictures(
    runs: Mapping[str, list[Trained]], grid: tuple[int, int], measured: Images
) -> dict[str, object]:
    """Ten images, and the first repetition's attention, mean over sixty."""
    shown, labels = spread_images(measured, 60)
    networks = [runs[attention][0].network for attention in ATTENTIONS]
    inputs = normalize(shown.to(networks[0].pos_embed.device), measured.mean, measured.std)
    content, positional = (attention_maps(network, inputs).cpu() for network in networks)
    return {
        "grid": np.array(grid),
        "labels": np.array([measured.classes[label] for label in labels[::6]]),
        "images": shown[::6].permute(0, 2, 3, 1).cpu(),
        "attention_content": content,
        "attention_positional": positional,
        "distance_by_head": torch.stack([attention_distance(maps, grid) for maps in (content, positional)]),
    }


def spread_images(images: Images, count: int) -> tuple[Tensor, Tensor]:
    """Images (n, 3, height, width), as they are stored, and labels (n,), spread over a split that may go by class."""
    rows = torch.linspace(0, len(images) - 1, min(count, len(images))).long()
    shown, labels = next(iter(images.blocks(rows[None])))
    return shown[0], labels[0]


def training_cost(settings: ImagesSettings, num_images: int) -> dict[str, int]:
    """Floating point operations of one training of the content model: counted forward, backward taken as twice that."""
    model = new_model(settings, "content", 1000, child_generator(settings.seed, "cost"))
    # The counter does not see into the fused kernel.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, settings.image_size, settings.image_size))
    forward = counter.get_total_flops()
    return {"forward": forward, "training": 3 * forward * num_images * settings.epochs}
