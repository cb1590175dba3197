"""Several trainings at once on one device against one after the other.

On the CPU both do the same work in the same order; on a GPU, which one small model leaves half idle, the stacked
weights of all make each launch as many times larger.
"""

from dataclasses import replace
from functools import partial

import torch
from harness import Promise, arguments, compare, finish
from vision_steps import NARROW, PAPER

from src.vision.augment import Augmentation
from src.vision.image_sets import ImageSet
from src.vision.settings import TrainingSettings
from src.vision.training import fit, fit_ensemble
from src.vision.vit import VisionTransformer

SEEDS = range(5)
PROMISE = Promise(
    "many_trainings",
    "5 trainings (seeds) at once against one after the other, positional ViT (4 layers, 96 wide, batch 32): "
    "not slower on the CPU, 1.5x the throughput on a GPU",
    at_least={"cpu": 1.0, "cuda": 1.5},
)


def main() -> None:
    chosen = arguments(__doc__)
    steps = {"cpu": {"96 wide": 4, "384 wide": 1}, "cuda": {"96 wide": 400, "384 wide": 200}}[
        chosen.device.type
    ]
    calls, work, agreement = {}, {}, []
    for (name, count), shape in zip(steps.items(), (NARROW, PAPER), strict=True):
        data = random_images(32 * count)
        settings = TrainingSettings(
            augmentation=Augmentation(),
            epochs=1,
            batch_size=32,
            precision="32-true",
            accelerator=chosen.device.type,
            progress=False,
        )
        alone, together = (losses(run, shape, data, settings) for run in (one_by_one, at_once))
        difference = max(abs(a - b) for a, b in zip(alone, together, strict=True))
        if difference > 1e-4:
            raise SystemExit(
                f"{name}: the losses of a member alone and in the ensemble differ by {difference:.1e}"
            )
        agreement.append(f"{name}: {difference:.0e}")
        fast = replace(settings, precision="auto")
        for way, run in (("one after the other", one_by_one), ("at once", at_once)):
            calls[f"{way}, {name}"] = partial(run, shape, data, fast)
            work[f"{way}, {name}"] = len(SEEDS) * len(data)
    rows = compare(calls, repeats=min(chosen.repeats, 5), device=chosen.device, work=work, unit="images")
    finish(
        PROMISE, rows, chosen, reference="one after the other, 96 wide", contender="at once, 96 wide",
        agreement=f"checked: losses of each member as alone, largest difference {', '.join(agreement)}",
    )  # fmt: skip


def one_by_one(shape: dict[str, int], data: ImageSet, settings: TrainingSettings) -> list:
    return [fit(new_model(shape, seed), data, settings=replace(settings, seed=seed)) for seed in SEEDS]


def at_once(shape: dict[str, int], data: ImageSet, settings: TrainingSettings) -> list:
    models = [new_model(shape, seed) for seed in SEEDS]
    return fit_ensemble(models, data, seeds=list(SEEDS), settings=settings)


def losses(run, shape: dict[str, int], data: ImageSet, settings: TrainingSettings) -> list[float]:
    return [history.train_loss[-1] for history in run(shape, data, settings)]


def new_model(shape: dict[str, int], seed: int) -> VisionTransformer:
    return VisionTransformer(
        32, 4, 10, **shape, attention="positional", generator=torch.Generator().manual_seed(seed)
    )


def random_images(n: int) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.randint(10, (n,), generator=generator)
    return ImageSet(images, labels, tuple("0123456789"))


if __name__ == "__main__":
    main()
