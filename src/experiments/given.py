"""Claim `structure-given`: what is structure worth that is given, not learned, with few images and with many?"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from src.common.folders import check_writable
from src.common.seeding import child_generator, child_seed
from src.common.shapes import Float
from src.experiments.base import need
from src.experiments.images import Images, Trained, load, notes_of, spread_images, train_together
from src.experiments.measured import Measured
from src.experiments.study_settings import GivenSettings
from src.vision.augment import normalize
from src.vision.given import given_transformer
from src.vision.probes import attention_distance, attention_maps, grid_distance, locality, mantel_test
from src.vision.training import evaluate

GIVEN = ("mask", "convolved", "mimetic")
SEEN = 60  # images over which content attention is averaged

Runs = Mapping[tuple[str, str], list[Trained]]  # by size, "few" or "all", and variant


def run(settings: GivenSettings) -> Measured:
    """A study of the companion's own. Cost: 5 minutes on one core a repetition at laptop scale.

    Every variant is trained on all images and on a share of them, for about as many steps, by the same settings, from
    the same start where it can be. Hypothesis: given structure gains where images are few, and locality that is learned
    reaches it where they are many. Before the rules were written, one training of each variant, two passes over a tenth
    of the images with seed 1000, had been seen on validation images: the free matrix was 8 points behind positional
    attention, hence one more rule. `eval_split` is looked at once for each model, after its training.
    """
    check_writable(settings.checkpoint_folder)
    measured, runs, histories = load(settings, settings.eval_split), {}, []
    for size, own in (("few", _few(settings)), ("all", settings)):
        train = load(own, "train")
        for variant in settings.variants:
            members = _members(settings, variant, len(train.classes))
            histories += train_together(own, f"{size}-{variant}", members, train)
            for member in members:
                member.accuracy = evaluate(member.model, measured).accuracy
            runs[size, variant] = members
    grid = (settings.image_size // settings.patch_size,) * 2
    maps = {key: [_attention(each.model, measured) for each in runs[key]] for key in runs}
    looks = {key: _looks(settings, "-".join(key), each, grid) for key, each in maps.items()}
    metrics = _accuracies(settings, runs)
    for (size, variant), found in looks.items():
        metrics |= {f"{name}_{size}_{variant}": values for name, values in found.items()}
    return Measured(metrics, _arrays(maps, grid), notes_of(settings, measured, histories))


def _few(settings: GivenSettings) -> GivenSettings:
    """About the same number of steps on a share of the images: epochs are whole, and so are batches."""
    count = settings.train_limit or len(load(settings, "train"))
    few, least = round(settings.share * count), min(settings.batch_size, count)
    needed = f"at least one batch, {least} of {count} images,"
    need(few >= least, "share", settings.share, needed, least / count)
    return settings.changed(
        train_limit=few,
        epochs=round(settings.epochs / settings.share),
        warmup_epochs=settings.warmup_epochs / settings.share,
    )


def _members(settings: GivenSettings, variant: str, num_classes: int) -> list[Trained]:
    """Untrained models, one a repetition; all variants of one share the start, and the order of the images."""
    shape = (settings.image_size, settings.patch_size, num_classes, settings.embed_dim)
    shape += (settings.depth, settings.num_heads, settings.mlp_dim)
    members = []
    for index in range(settings.num_seeds):
        seed = child_seed(settings.seed, "training", index)
        start = child_generator(settings.seed, "initialization", index)
        members.append(Trained(given_transformer(variant, *shape, generator=start), seed))
    return members


def _accuracies(settings: GivenSettings, runs: Runs) -> dict[str, list[float]]:
    """accuracy_few_mask, …; over content attention lead_all_free, …; and over_positional_all_free, …, likewise."""
    metrics = {
        f"accuracy_{size}_{variant}": [each.accuracy for each in runs[size, variant]]
        for size, variant in runs
    }
    for size in ("few", "all"):
        for name, base in (("lead", "content"), ("over_positional", "positional")):
            if base in settings.variants:
                metrics |= {
                    f"{name}_{size}_{variant}": [
                        ours.accuracy - theirs.accuracy
                        for ours, theirs in zip(runs[size, variant], runs[size, base], strict=True)
                    ]
                    for variant in settings.variants
                    if variant != base
                }
    return metrics


def _looks(
    settings: GivenSettings, name: str, maps: list[Tensor], grid: tuple[int, int]
) -> dict[str, list[float | None]]:
    """How far attention reaches, and how it follows the grid: mean over layers and heads, one value a repetition."""
    similar = [_between_patches(each) for each in maps]
    return {
        "distance": [attention_distance(each, grid).mean().item() for each in maps],
        "locality": [locality(each, grid).correlation for each in similar],
        "mantel_p": [
            mantel_test(each, grid, generator=child_generator(settings.seed, "mantel", name, index))
            for index, each in enumerate(similar)
        ],
    }


def _between_patches(maps: Float[Tensor, "depth heads tokens tokens"]) -> Float[Tensor, "patches patches"]:
    """How much two patches look at each other, mean over layers, heads and both directions."""
    mean = maps.mean((0, 1))[1:, 1:]
    return (mean + mean.T) / 2


def _attention(model: nn.Module, measured: Images) -> Float[Tensor, "depth heads tokens tokens"]:
    """Mean over images that are spread over the split."""
    shown, _ = spread_images(measured, SEEN)
    images = normalize(shown.to(model.pos_embed.device), measured.mean, measured.std)
    return attention_maps(model, images).cpu()


def _arrays(maps: Mapping[tuple[str, str], list[Tensor]], grid: tuple[int, int]) -> dict[str, object]:
    """By size, over (variants, repetitions, distances): what a patch gives to one so far away, times their number.

    1 is uniform attention.
    """
    distance = grid_distance(grid)
    steps = distance.unique()
    arrays: dict[str, object] = {"distance": steps, "grid": np.array(grid)}
    for size in ("few", "all"):
        own = [each for (at, _), each in maps.items() if at == size]
        between = torch.stack(
            [torch.stack([each.mean((0, 1))[1:, 1:] for each in run]) for run in own]
        ).double()
        between = len(distance) * between / between.sum(-1, keepdim=True)
        arrays[f"profile_{size}"] = torch.stack(
            [between[..., distance == step].mean(-1) for step in steps], -1
        )
    return arrays
