"""The vanilla ViTs that the paper shows or trains on ImageNet, with timm's weights or without."""

from os import PathLike

import torch

from src.common.choices import one_of
from src.vision.vit import VisionTransformer

# timm's names -> patch_size, embed_dim, num_heads; all have 12 blocks and mlp_dim = 4 embed_dim.
TIMM_MODELS = {
    "vit_tiny_patch16_224": (16, 192, 3),
    "vit_small_patch32_224": (32, 384, 6),
    "vit_small_patch16_224": (16, 384, 6),
    "vit_base_patch32_224": (32, 768, 12),
    "vit_base_patch16_224": (16, 768, 12),
}
TIMM_WEIGHTS = "https://huggingface.co/timm/{name}.augreg_in21k_ft_in1k/resolve/main/pytorch_model.bin"


def timm_model(name: str, num_classes: int = 1000, **options) -> VisionTransformer:
    """A model of timm's architecture `name`, with random weights.

    Parameters
    ----------
    name : one of `TIMM_MODELS`.
    num_classes : number of logits.
    options : what else `VisionTransformer` takes, e.g. ``attention="positional"``.
    """
    one_of("name", name, TIMM_MODELS)
    patch_size, embed_dim, num_heads = TIMM_MODELS[name]
    return VisionTransformer(224, patch_size, num_classes, embed_dim, 12, num_heads, 4 * embed_dim, **options)


def load_pretrained(name: str, weights: str | PathLike | None = None) -> VisionTransformer:
    """The vanilla ViT `name` with timm's weights: ImageNet-21k, then fine-tuned on ImageNet-1k.

    Parameters
    ----------
    name : one of `TIMM_MODELS`; the paper's picture of the encodings shows "vit_small_patch32_224".
    weights : file of a state dict under timm's names. If None, the published file (92 MB for
        "vit_small_patch32_224") is downloaded into torch.hub's cache at the first call, and read there later.

    Raises
    ------
    ValueError : an unknown name, or weights of another architecture.
    OSError : weights that can be neither read nor downloaded.

    References
    ----------
    Steiner et al., "How to train your ViT?", TMLR 2022 (the weights).
    """
    model = timm_model(name)
    source = str(weights) if weights is not None else TIMM_WEIGHTS.format(name=name)
    try:
        if weights is not None:
            state = torch.load(weights, map_location="cpu", weights_only=True)
        else:
            state = torch.hub.load_state_dict_from_url(
                source, map_location="cpu", progress=False, file_name=f"{name}.bin", weights_only=True
            )
    except Exception as error:  # urllib, zip and pickle each fail in their own way; the user needs the source
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OSError(f"weights of {name}: cannot read {source} ({reason}); pass weights=<file>") from error
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"weights: {source} does not hold the parameters of {name}") from error
    return model
