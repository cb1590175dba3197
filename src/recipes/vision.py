"""Recipes of the experiments: ViTs with content and with positional attention, trained side by side on images."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from src.recipes import Measured, recipe
from src.seeding import child_generator
from src.vision.augment import Augmentation, normalize, standard_augmentation
from src.vision.convnet import SmallConvNet
from src.vision.images import ImageSet, StreamedImages, load_images
from src.vision.permutation import Permuted
from src.vision.pretrained import load_pretrained, timm_model
from src.vision.probes import (
    Locality,
    attention_distance,
    attention_maps,
    locality,
    position_similarity,
    undo_permutation,
)
from src.vision.training import TrainingHistory, TrainingSettings, evaluate, fit, fit_ensemble
from src.vision.vit import ATTENTIONS, VisionTransformer


@dataclass(frozen=True)
class Images:
    """Which images: parameters of a chapter, under their names there. Models are measured on those of `eval_split`."""

    dataset: str
    data_folder: str
    download: bool
    train_limit: int
    image_size: int
    eval_split: str

    def load(self, split: str) -> ImageSet | StreamedImages:
        limit = self.train_limit if split == "train" and self.train_limit else None
        folder = self.data_folder or None
        return load_images(
            self.dataset, folder, split, limit, image_size=self.image_size, download=self.download
        )


@dataclass(frozen=True)
class Shape:
    """Shape of both models. `add_encoding` says whether positional attention's tokens carry the encodings, too."""

    patch_size: int
    embed_dim: int
    depth: int
    num_heads: int
    mlp_dim: int
    add_encoding: bool

    def model(
        self, attention: str, image_size: int, num_classes: int, generator: torch.Generator
    ) -> VisionTransformer:
        size = (self.patch_size, num_classes, self.embed_dim, self.depth, self.num_heads, self.mlp_dim)
        return VisionTransformer(
            image_size, *size, attention, add_encoding=self.add_encoding, generator=generator
        )


@dataclass(frozen=True)
class Training:
    """How every model is trained; 0 and "none" leave a part out."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_epochs: float
    gradient_clip: float
    label_smoothing: float
    policy: str
    resized_crop: float
    mixup: float
    cutmix: float
    precision: str
    plain_steps: bool
    checkpoint_folder: str

    def settings(self, device: torch.device) -> TrainingSettings:
        return TrainingSettings(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup_epochs=self.warmup_epochs,
            gradient_clip=self.gradient_clip or None,
            label_smoothing=self.label_smoothing,
            precision=self.precision,
            accelerator=device.type,
            compile=False if self.plain_steps else "auto",
            checkpoint_every=max(1, self.epochs // 30),  # a checkpoint of the paper's model has 75 MB
        )

    def checkpoint(self, *name: str | int) -> Path | None:
        """File from which a training that was cut off goes on, and which it then leaves; None for none."""
        return (
            Path(self.checkpoint_folder, "-".join(map(str, name)) + ".pt") if self.checkpoint_folder else None
        )

    def augmentation(self, dataset: str, image_size: int) -> Augmentation:
        standard = standard_augmentation(dataset, image_size)
        name = dataset.split("-")[0]
        learned_on = {"cifar10": "cifar10", "cifar100": "cifar10", "svhn": "svhn", "digits": "svhn"}
        policies = {"none": None, "autoaugment": f"autoaugment-{learned_on.get(name, 'imagenet')}"}
        return replace(
            standard,
            policy=policies.get(self.policy, self.policy),
            crop_padding=0 if self.resized_crop else standard.crop_padding,
            resized_crop=self.resized_crop,
            mixup=self.mixup,
            cutmix=self.cutmix,
        )


@recipe("07_imagenet", "positional-imagenet")
@recipe("06_svhn", "positional-svhn")
@recipe("05_cifar", "pe-locality", "permuted", "positional-cifar10", "positional-cifar100")
def positional(
    *,
    seed: int,
    num_seeds: int,
    images: Images,
    shape: Shape,
    training: Training,
    permute: bool,
    device: torch.device,
) -> Measured:
    """Claims `pe-locality`, `permuted`, `positional-…`: both attentions on the same images, from the same start.

    Source: the paper's experiments on CIFAR, SVHN and ImageNet, and its picture of encoding similarities. Cost: the
    defaults under a minute on two cores; 300 epochs of CIFAR, and ImageNet, need an accelerator. Expected:
    accuracies within 3 points of each other; locality rises from about 0 in both. With `permute`, all is trained once
    more on images whose patches are permuted by one fixed permutation, and so is a small convolutional net, the
    control. The images of `eval_split` are looked at once, at the end of each training; what is tried out is measured
    on "validation", and counts for no claim.
    """
    train, validation, measured = (images.load(split) for split in ("train", "validation", images.eval_split))
    grid = (images.image_size // shape.patch_size,) * 2
    runs: dict[str, list[Run]] = {}
    for name in (*ATTENTIONS, "convnet") if permute else ATTENTIONS:
        members = []
        for index in range(num_seeds):
            orders = [torch.arange(grid[0] * grid[1])] if permute else [None]
            if permute:
                draw = child_generator(seed, "permutation", index)
                orders.append(torch.randperm(grid[0] * grid[1], generator=draw))
            for suffix, order in zip(("", "_permuted"), orders, strict=False):
                start = child_generator(seed, "initialization", index)
                if name == "convnet":
                    model = SmallConvNet(len(train.classes), 16, generator=start)
                else:
                    model = shape.model(name, images.image_size, len(train.classes), start)
                seen = model if order is None else Permuted(model, order, shape.patch_size)
                run = Run(seen, child_generator(seed, "training", index).initial_seed() % 2**31)
                members.append(run)
                runs.setdefault(name + suffix, []).append(run)
        train_runs(
            members,
            train,
            validation=validation,
            settings=training.settings(device),
            augmentation=training.augmentation(images.dataset, images.image_size),
            checkpoint=training.checkpoint(name, seed),
        )
        for run in members:
            run.accuracy = evaluate(run.model, measured).accuracy
    return _compare(runs, grid, measured)


@dataclass
class Run:
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

    def similarity(self) -> list[Tensor]:
        """(patches, patches) at each epoch, from 0."""
        return [self.history.observations[epoch] for epoch in sorted(self.history.observations)]


def train_runs(
    runs: Sequence[Run], train: ImageSet | StreamedImages, *, checkpoint: Path | None, **options
) -> None:
    """Train the runs, of one architecture, all at once; one after the other where several processes share each.

    options : as `fit` takes them. RuntimeError where the loss of one left the finite numbers.
    """
    options |= {"callback": _observe}
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        histories = fit_ensemble(
            [run.model for run in runs],
            train,
            seeds=[run.seed for run in runs],
            checkpoint=checkpoint,
            **options,
        )
    else:
        settings = options.pop("settings")
        histories = []
        for index, run in enumerate(runs):
            path = checkpoint and checkpoint.with_stem(f"{checkpoint.stem}-{index}")
            own = replace(settings, seed=run.seed)
            histories.append(fit(run.model, train, settings=own, checkpoint=path, **options))
    for run, history in zip(runs, histories, strict=True):
        run.history = history
        if len(history) < max(map(len, histories)):
            raise RuntimeError(
                f"the run with seed {run.seed} diverged after {len(history)} epochs; a lower learning_rate is needed"
            )


def _observe(epoch: int, model: nn.Module) -> Tensor | None:
    """Similarity of the encodings, (patches, patches), as the images have them; None where there are no encodings."""
    permuted = isinstance(model, Permuted)
    network = model.model if permuted else model
    if not isinstance(network, VisionTransformer):
        return None
    similarity = position_similarity(network).cpu()
    return undo_permutation(similarity, model.permutation.cpu()) if permuted else similarity


def _compare(
    runs: dict[str, list[Run]], grid: tuple[int, int], measured: ImageSet | StreamedImages
) -> Measured:
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

    spread = torch.linspace(
        0, len(measured) - 1, min(60, len(measured))
    ).long()  # a folder's images come class by class
    shown, labels = next(iter(measured.blocks(spread[None])))
    arrays = {
        "grid": np.array(grid),
        "labels": np.array([measured.classes[label] for label in labels[0, ::6]]),
    }
    arrays["images"] = shown[0, ::6].permute(0, 2, 3, 1).cpu()
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
    models = [runs[name][0].network for name in ATTENTIONS]
    inputs = normalize(shown[0].to(next(models[0].parameters()).device), measured.mean, measured.std)
    attention = [attention_maps(model, inputs).cpu() for model in models]
    arrays |= {f"attention_{name}": maps for name, maps in zip(ATTENTIONS, attention, strict=True)}
    arrays["distance_by_head"] = torch.stack([attention_distance(maps, grid) for maps in attention])
    return Measured(metrics, arrays)


def pretrained_similarity(weights: str, seed: int) -> Measured | None:
    """Encodings' similarity in the paper's pretrained ViT, before (random start) and after; None without weights.

    weights : file of a state dict under timm's names, "download" for the published one, "" for none.
    """
    if not weights:
        return None
    start = timm_model("vit_small_patch32_224", generator=child_generator(seed, "initialization"))
    trained = load_pretrained("vit_small_patch32_224", None if weights == "download" else weights)
    before, after = (position_similarity(model)[None] for model in (start, trained))
    found = locality(after[0], trained.grid)
    metrics = {"locality": [found.correlation], "neighbour_share": [found.neighbour_share]}
    arrays = {"similarity_before": before, "similarity_after": after, "grid": np.array(trained.grid)}
    return Measured(metrics, {name: np.asarray(array) for name, array in arrays.items()})


def training_cost(settings: Mapping[str, object], num_images: int) -> dict[str, int]:
    """Floating point operations of one training of the content model: counted forward, backward taken as twice that."""
    sizes = {name: settings[name] for name in (field.name for field in fields(Shape))}
    model = Shape(**sizes).model(
        "content", settings["image_size"], 1000, child_generator(settings["seed"], "cost")
    )
    # The counter does not see into the fused kernel.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, settings["image_size"], settings["image_size"]))
    forward = counter.get_total_flops()
    return {"forward": forward, "training": 3 * forward * num_images * settings["epochs"]}
