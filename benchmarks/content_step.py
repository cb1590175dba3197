"""A training step of our vanilla ViT against timm's of the same shape, weights and precision.

After the last block the CLS token alone is read; ours computes it alone there, timm's computes every token.
"""

import timm
import torch
from harness import Promise, arguments, compare, finish
from vision_steps import BATCH, IN_WORDS, SHAPE, random_batch, training_step

from src.vision.vit import VisionTransformer

PROMISE = Promise(
    "content_step",
    f"Forward, backward and AdamW of the vanilla ViT ({IN_WORDS}, batch {BATCH}): at least as fast as timm's",
    at_least={"cpu": 1.0, "cuda": 1.0},
)


def main() -> None:
    chosen = arguments(__doc__)
    images, labels = random_batch(BATCH, chosen.device)
    models, agreement = equal_models(images)
    steps = {name: training_step(model, images, labels) for name, model in models.items()}
    rows = compare(
        steps, repeats=chosen.repeats, device=chosen.device, work=dict.fromkeys(steps, BATCH), unit="images"
    )
    finish(PROMISE, rows, chosen, reference="timm", contender="ours", agreement=agreement)


@torch.no_grad()
def equal_models(images: torch.Tensor) -> tuple[dict[str, torch.nn.Module], str]:
    """Both with timm's weights, and by how much their logits differ in float32."""
    theirs = timm.models.vision_transformer.VisionTransformer(
        img_size=SHAPE["image_size"], patch_size=SHAPE["patch_size"], num_classes=SHAPE["num_classes"],
        embed_dim=SHAPE["embed_dim"], depth=SHAPE["depth"], num_heads=SHAPE["num_heads"],
        mlp_ratio=SHAPE["mlp_dim"] / SHAPE["embed_dim"],
    ).to(images.device)  # fmt: skip
    ours = VisionTransformer(**SHAPE).to(images.device)
    ours.load_state_dict(theirs.state_dict())
    logits = ours(images), theirs(images)
    torch.testing.assert_close(*logits, atol=1e-5, rtol=0)
    difference = (logits[0] - logits[1]).abs().max()
    return {"timm": theirs, "ours": ours}, f"checked: the same weights, equal logits to {difference:.0e}"


if __name__ == "__main__":
    main()
