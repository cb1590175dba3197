"""Inference of our vanilla ViT against timm's of the same shape, weights and precision."""

from content_step import equal_models
from harness import Promise, arguments, compare, finish
from vision_steps import BATCH, IN_WORDS, inference, random_batch

PROMISE = Promise(
    "content_inference",
    f"Inference of the vanilla ViT ({IN_WORDS}, batch {BATCH}): at least as fast as timm's",
    at_least={"cpu": 1.0, "cuda": 1.0},
)


def main() -> None:
    chosen = arguments(__doc__)
    images, _ = random_batch(BATCH, chosen.device)
    models, agreement = equal_models(images)
    calls = {name: inference(model.eval(), images) for name, model in models.items()}
    rows = compare(
        calls, repeats=chosen.repeats, device=chosen.device, work=dict.fromkeys(calls, BATCH), unit="images"
    )
    finish(PROMISE, rows, chosen, reference="timm", contender="ours", agreement=agreement)


if __name__ == "__main__":
    main()
