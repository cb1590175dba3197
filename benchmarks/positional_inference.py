"""Positional attention in evaluation, its matrices computed once, against the same model computing them at each call.

What is saved does not depend on the batch: it is most of what can be saved of one image, little of many.
"""

import torch
from harness import Promise, arguments, compare, finish
from vision_steps import BATCH, IN_WORDS, SHAPE, inference, random_batch

from src.vision.vit import VisionTransformer, freeze_attention

PROMISE = Promise(
    "positional_inference",
    f"Inference of the positional ViT ({IN_WORDS}), one image: with frozen attention it is faster",
    at_least={"cpu": 1.0, "cuda": 1.0},
)


@torch.no_grad()
def main() -> None:
    chosen = arguments(__doc__)
    model = VisionTransformer(**SHAPE, attention="positional").to(chosen.device).eval()
    frozen, calls, work = freeze_attention(model), {}, {}
    for batch in (1, BATCH):
        images, _ = random_batch(batch, chosen.device)
        if not torch.equal(model(images), frozen(images)):
            raise SystemExit("the frozen model gives other logits")
        for name, each in (("computed at each call", model), ("frozen", frozen)):
            calls[f"{name}, batch {batch}"] = inference(each, images)
            work[f"{name}, batch {batch}"] = batch
    rows = compare(calls, repeats=3 * chosen.repeats, device=chosen.device, work=work, unit="images")
    finish(
        PROMISE, rows, chosen, reference="computed at each call, batch 1", contender="frozen, batch 1",
        agreement="checked: equal logits, bit for bit",
    )  # fmt: skip


if __name__ == "__main__":
    main()
