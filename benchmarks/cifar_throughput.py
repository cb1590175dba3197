"""Images per second of the whole training loop at the paper's setting for CIFAR, and what its stages take.

Reference is what the public code of this architecture reports: 200 epochs of 50,000 images in 2 h 14 min on one
V100, 1,240 images/s. The floor of a step on an H200 (989e12 bfloat16 operations and 4.8e12 bytes a second) counts
the products of forward and backward, three times those of forward, and the bytes that pass through memory even if
all else is fused: inputs and outputs of the products, in bfloat16, and AdamW's 7 accesses of 4 bytes a weight.
"""

from dataclasses import replace
from statistics import median

import torch
from harness import Curve, Promise, Row, arguments, compare, curve, finish
from many_trainings import random_images
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_
from vision_steps import IN_WORDS, SHAPE, SMALL

from src.common.seeding import child_generator
from src.evidence.pages import seconds_text
from src.vision.augment import Augmentation, apply_policy, augment
from src.vision.image_sets import ImageSet
from src.vision.settings import TrainingSettings
from src.vision.training import TrainingHistory, fit
from src.vision.vit import VisionTransformer

BATCH, PUBLISHED, PROMISED = 128, 1240.0, 50_000
SMALL_32 = SMALL | {"image_size": 32}
AUGMENTATION = Augmentation(policy="autoaugment-cifar10")
PROMISE = Promise(
    "cifar_throughput",
    f"Training loop, vanilla ViT ({IN_WORDS}), batch {BATCH}, crop, flip, AutoAugment, label smoothing: "
    f"{PROMISED:,} images/s on an H200, {PROMISED / PUBLISHED:.1f} times the 1,240 published for a V100",
    at_least={"cuda": PROMISED / PUBLISHED},
)


def main() -> None:
    chosen = arguments(__doc__)
    on_cuda = chosen.device.type == "cuda"
    repeats = chosen.repeats if on_cuda else min(chosen.repeats, 2)
    data = random_images(50_000 if on_cuda else BATCH)
    ways = {"fit": "auto"} | ({"fit, compiled": True, "fit, plain": False} if on_cuda else {})
    agreement = ways_agree(list(ways.values()), chosen.device)
    rows = stages(data.to(chosen.device), repeats)
    for name, compile in ways.items():
        # the first epoch sets up
        pace = train(data, chosen.device, repeats + 1, compile).images_per_second[1:]
        rows.append(Row(name, [len(data) / each for each in pace], 0, median(pace), "images/s"))
    published = Row("published, one V100", [len(data) / PUBLISHED] * repeats, 0, PUBLISHED, "images/s")
    finish(
        PROMISE, [*rows, published], chosen, reference=published.name, contender="fit",
        agreement=f"{agreement}; {floor()}", curves=[over_images(chosen.device)],
    )  # fmt: skip


def over_images(device: torch.device) -> Curve:
    """One epoch of a small model, start of `fit` included."""
    counts = (256, 512, 1_024, 2_048)
    data = random_images(counts[-1])
    sets = {n: replace(data, images=data.images[:n], labels=data.labels[:n]) for n in counts}
    points = [
        (n, lambda part=part: train(part, device, 1, "auto", shape=SMALL_32)) for n, part in sets.items()
    ]
    return curve("one epoch of a small ViT over images", "images", points, device=device, repeats=1)


def train(
    data: ImageSet, device: torch.device, epochs: int, compile: bool | str, shape: dict = SHAPE, **changes
) -> TrainingHistory:
    settings = TrainingSettings(
        epochs=epochs,
        batch_size=BATCH,
        augmentation=AUGMENTATION,
        accelerator=device.type,
        compile=compile,
        progress=False,
        **changes,
    )
    model = VisionTransformer(**shape, generator=torch.Generator().manual_seed(0))
    return fit(model, data, settings=settings)


def ways_agree(ways: list[bool | str], device: torch.device) -> str:
    """Recorded or compiled, the first steps give the losses that they give plainly, in float32."""
    if len(ways) == 1:
        return "checked: nothing, on the CPU there is one way"
    data = random_images(8 * BATCH)
    losses = [train(data, device, 1, way, precision="32-true").train_loss[0] for way in ways]
    if max(losses) - min(losses) > 1e-3:
        raise SystemExit(f"mean losses of 8 steps, {ways}: {losses}; they should agree to 1e-3")
    return f"checked: 8 steps in {len(ways)} ways, mean losses equal to {max(losses) - min(losses):.0e}"


def stages(data: ImageSet, repeats: int) -> list[Row]:
    """Each stage of a step by itself, plainly and in float32; the policy is applied to the block of an epoch."""
    device, classes = data.images.device, len(data.classes)
    model = VisionTransformer(**SHAPE).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    images, labels = data.images[:BATCH], data.labels[:BATCH]
    draws = AUGMENTATION.draw((len(data),), child_generator(0, "augmentation"))
    seeds = draws.pop("policy")
    draws = {name: values[:BATCH].to(device) for name, values in draws.items()}

    def prepare():
        return augment(images, labels, draws, num_classes=classes, mean=data.mean, std=data.std)[0]

    def forward():
        return F.cross_entropy(model(inputs), labels, label_smoothing=0.1)

    def update():
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    inputs = prepare()
    forward().backward()
    policy = f"policy, block of {len(data):,}"
    calls = {
        policy: lambda: apply_policy(data.images, AUGMENTATION.policy, seeds),
        "crop, flip, normalize": prepare,
        "forward": forward,
        "forward and backward": lambda: forward().backward(),
        "clip and AdamW": update,
    }
    work = dict.fromkeys(calls, BATCH) | {policy: len(data)}
    return compare(calls, repeats=repeats, device=device, work=work, unit="images")


def floor() -> str:
    """Least time of a step on an H200, by operations and by bytes."""
    dim, hidden, depth = SHAPE["embed_dim"], SHAPE["mlp_dim"], SHAPE["depth"]
    tokens = 1 + (SHAPE["image_size"] // SHAPE["patch_size"]) ** 2
    rows = BATCH * tokens
    multiplications = 4 * dim**2 + 2 * dim * hidden + 2 * tokens * dim  # a token and block
    accesses = 10 * dim + 2 * (dim + hidden)  # a token and block: qkv 4, attention 4, proj 2, MLP
    # The last block computes keys and values of all tokens and nothing else that counts.
    operations = 3 * 2 * rows * ((depth - 1) * multiplications + 2 * dim**2)
    weights = depth * (4 * dim**2 + 2 * dim * hidden)
    moved = 3 * 2 * rows * ((depth - 1) * accesses + 3 * dim) + 7 * 4 * weights
    least = max(operations / 989e12, moved / 4.8e12)
    return (
        f"floor of a step on an H200: {operations / 1e9:.0f} G operations, {seconds_text(operations / 989e12)}, "
        f"{moved / 1e9:.2f} GB, {seconds_text(moved / 4.8e12)}; so at most {BATCH / least:,.0f} images/s"
    )


if __name__ == "__main__":
    main()
