"""The Vision Transformer of the paper's experiments, with content or with positional attention."""

from copy import deepcopy
from os import PathLike
from typing import NamedTuple

import torch
from torch import Tensor, nn

from src.common.choices import one_of
from src.common.shapes import Float, Int, Shaped
from src.vision.attention import EVERY, Attention, positional_attention

ATTENTIONS = ("content", "positional")


class Intermediates(NamedTuple):
    """What a forward pass can show of itself.

    Attributes
    ----------
    attention : one matrix a layer: (batch, heads, tokens, tokens) from content, (heads, tokens, tokens)
        from positions. Rows sum to one; row and column 0 belong to the CLS token.
    tokens : ``depth + 1`` tensors (batch, tokens, embed_dim): before the first block and after each.
    """

    attention: tuple[Tensor, ...]
    tokens: tuple[Tensor, ...]


class PatchEmbed(nn.Module):
    """Cut an image into patches, row by row, and project each to the model's width."""

    def __init__(self, patch_size: int, in_channels: int, embed_dim: int):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, embed_dim, kernel_size=patch_size, stride=patch_size)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch patches dim"]:
        return self.proj(images).flatten(2).transpose(1, 2)


class Mlp(nn.Module):
    """Two linear layers with a GELU between them, applied to each token on its own."""

    def __init__(self, embed_dim: int, mlp_dim: int):
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, mlp_dim)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(mlp_dim, embed_dim)

    def forward(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        return self.fc2(self.act(self.fc1(tokens)))


class Block(nn.Module):
    """Pre-norm transformer block: attention across the tokens, then an MLP inside each."""

    def __init__(self, embed_dim: int, num_heads: int, mlp_dim: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.attn = Attention(embed_dim, num_heads)
        self.norm2 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.mlp = Mlp(embed_dim, mlp_dim)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        attention: Float[Tensor, "heads tokens tokens"] | None = None,
        return_attention: bool = False,
        rows: slice = EVERY,
    ) -> tuple[Float[Tensor, "batch rows dim"], Tensor | None]:
        mixed, attention = self.attn(self.norm1(tokens), attention, return_attention, rows)
        tokens = tokens[:, rows] + mixed
        return tokens + self.mlp(self.norm2(tokens)), attention


class VisionTransformer(nn.Module):
    """Vision Transformer whose attention sees the tokens' content or their positions only.

    Both kinds have the same parameters under timm's names; they differ in one line: what the queries and
    keys of a layer are computed from, ``norm1(tokens)`` (content) or ``norm1(pos_embed)`` (positional).

    Parameters
    ----------
    image_size : pixels per side of the square images, a multiple of `patch_size`.
    patch_size : pixels per side of a patch.
    num_classes : number of logits.
    embed_dim : width of the tokens, a multiple of `num_heads`.
    depth : number of blocks.
    num_heads : attention heads per block.
    mlp_dim : hidden width of the MLP of a block.
    attention : "content" (the vanilla ViT) or "positional".
    in_channels : channels of an image.
    add_encoding_to_tokens : whether the encodings are also added to the tokens, as in the vanilla ViT.
        Only positional attention can do without.
    generator : random stream of the initial weights; the global one if None.

    Raises
    ------
    ValueError : an argument out of its range, with the nearest valid choice.

    Notes
    -----
    Choices that the paper leaves open. The encodings `pos_embed` are shared by all layers; each layer has its
    own query and key projections of them, after the LayerNorm that the layer also applies to the tokens. The
    CLS token has an encoding of its own (row 0) and takes part in positional attention like any patch. There
    is no dropout, so that training and evaluation compute the same. Encodings and CLS start from a normal
    distribution of standard deviation 0.02 (truncated at +-2); matrices, the patch projection among them, from
    Glorot and Bengio's uniform one, as in the first ViT; biases at zero. Matrices of standard deviation 0.02,
    usual at widths from 192, are too small for narrow models: with content attention of width 96 on 10,000
    images of CIFAR-10 the validation accuracy after 4 epochs was 0.39 with them and 0.44 with these.

    References
    ----------
    Dosovitskiy et al., ICLR 2021 (the vanilla ViT); Jelassi, Sander, Li, NeurIPS 2022 (positional attention).
    """

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        num_classes: int,
        embed_dim: int,
        depth: int,
        num_heads: int,
        mlp_dim: int,
        attention: str = "content",
        in_channels: int = 3,
        *,
        add_encoding_to_tokens: bool = True,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        _check_positive(image_size=image_size, patch_size=patch_size, in_channels=in_channels)
        _check_positive(num_classes=num_classes, embed_dim=embed_dim, depth=depth)
        _check_positive(num_heads=num_heads, mlp_dim=mlp_dim)
        _check_multiple("image_size", image_size, "patch_size", patch_size)
        _check_multiple("embed_dim", embed_dim, "num_heads", num_heads)
        one_of("attention", attention, ATTENTIONS)
        if attention == "content" and not add_encoding_to_tokens:
            raise ValueError(
                "add_encoding_to_tokens=False needs attention='positional': "
                "content attention sees positions through the tokens only"
            )
        self.image_size, self.patch_size, self.in_channels = image_size, patch_size, in_channels
        self.attention, self.add_encoding_to_tokens = attention, add_encoding_to_tokens
        self.grid = (image_size // patch_size, image_size // patch_size)
        num_tokens = 1 + self.grid[0] * self.grid[1]

        self.patch_embed = PatchEmbed(patch_size, in_channels, embed_dim)
        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim))
        self.pos_embed = nn.Parameter(torch.empty(1, num_tokens, embed_dim))
        self.blocks = nn.ModuleList(Block(embed_dim, num_heads, mlp_dim) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.head = nn.Linear(embed_dim, num_classes)
        self.register_buffer("frozen", None, persistent=False)  # see `freeze_attention`
        self._initialize(generator)

    def _initialize(self, generator: torch.Generator | None) -> None:
        for name, parameter in self.named_parameters():
            if name in ("pos_embed", "cls_token"):
                nn.init.trunc_normal_(parameter, std=0.02, generator=generator)
            elif parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter.flatten(1), generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(
        self, images: Tensor, return_intermediates: bool = False
    ) -> Float[Tensor, "batch classes"] | tuple[Float[Tensor, "batch classes"], Intermediates]:
        """Class logits of images.

        Parameters
        ----------
        images : (batch, in_channels, image_size, image_size), floating point.
        return_intermediates : whether to return attention and tokens by layer too; they cost nothing if not.

        Returns
        -------
        Logits (batch, num_classes), or the pair of logits and `Intermediates`.

        Raises
        ------
        ValueError : images of another shape or type than the model was built for.
        """
        tokens = self._embed(images)
        depth = len(self.blocks)
        matrices = None if self.attention == "content" else self.positional_attention()
        # After the last block the CLS token alone is read: unless all are to be shown, it alone is computed there.
        rows = [EVERY] * (depth - 1) + [EVERY if return_intermediates else slice(0, 1)]
        attentions, layers = [], [tokens]
        for index, block in enumerate(self.blocks):
            # Not `unbind`: of one layer, torch.compile (2.12, CPU) returns a wrong gradient of it.
            own = None if matrices is None else matrices[index]
            tokens, attention = block(tokens, own, return_intermediates, rows[index])
            if return_intermediates:
                attentions.append(attention)
                layers.append(tokens)
        logits = self.head(self.norm(tokens[:, 0]))
        return (logits, Intermediates(tuple(attentions), tuple(layers))) if return_intermediates else logits

    def positional_attention(self) -> Float[Tensor, "depth heads tokens tokens"]:
        """The attention of positions alone: the vanilla formula with `pos_embed` in the place of the tokens."""
        if self.frozen is not None:
            return self.frozen
        norms, projections = zip(*((block.norm1, block.attn.qkv) for block in self.blocks), strict=True)
        return positional_attention(self.pos_embed[0], norms, projections, self.blocks[0].attn.num_heads)

    def _embed(self, images: Tensor) -> Float[Tensor, "batch tokens dim"]:
        self._check_images(images)
        patches = self.patch_embed(images)
        tokens = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        return tokens + self.pos_embed if self.add_encoding_to_tokens else tokens

    def _check_images(self, images: Tensor) -> None:
        expected = (self.in_channels, self.image_size, self.image_size)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(
                f"images: expected shape (batch, {', '.join(map(str, expected))}), got {tuple(images.shape)}"
            )
        if not images.is_floating_point():
            raise ValueError(f"images: expected floating point, got {images.dtype}; scale them first")


@torch.no_grad()
def freeze_attention(model: VisionTransformer) -> VisionTransformer:
    """A copy for evaluation whose attention matrices are computed here, once, instead of at each forward pass.

    The copy is a snapshot and cannot grow stale: it has weights of its own, none of which learns, and refuses to
    load others. Its logits are `model`'s, bit for bit. State dicts are as they were.

    Raises
    ------
    ValueError : content attention, which every image has its own of; later, weights loaded into the copy.
    """
    if model.attention != "positional":
        raise ValueError(f"model: attention={model.attention!r} differs by image; needed: 'positional'")
    frozen = deepcopy(model).eval().requires_grad_(False)
    frozen.frozen = model.positional_attention()
    frozen.register_load_state_dict_pre_hook(_refuse_weights)
    return frozen


def _refuse_weights(*_) -> None:
    raise ValueError(
        "a frozen model loads no weights: its attention would stay; freeze_attention anew is needed"
    )


def permute_patches(
    images: Shaped[Tensor, "batch channels height width"],
    permutation: Int[Tensor, " patches"],
    patch_size: int,
) -> Shaped[Tensor, "batch channels height width"]:
    """Move the patches of every image by one fixed permutation; inside a patch nothing changes.

    Parameters
    ----------
    images : (batch, channels, height, width) of any type, height and width multiples of `patch_size`.
    permutation : (patches,), patches counted row by row: place i shows what was at ``permutation[i]``.
    patch_size : pixels per side of a patch.

    Returns
    -------
    The permuted images, a new tensor of the same shape, type and device.

    Raises
    ------
    ValueError : sides that are no multiples of `patch_size`, or indices that are no permutation.
    """
    rows, columns = _patch_grid(images, patch_size)
    check_permutation(permutation, rows * columns)
    return _move_patches(images, permutation, patch_size)


class Permuted(nn.Module):
    """A model that sees each image with its patches in another order, always the same; the order is no parameter.

    Parameters
    ----------
    model : images to logits.
    permutation : (patches,), as in `permute_patches`; ``torch.arange(patches)`` leaves the patches in their places.
    patch_size : pixels per side of a patch.

    Raises
    ------
    ValueError : indices that are no permutation and, when called, images with another number of patches.
    """

    def __init__(self, model: nn.Module, permutation: Int[Tensor, " patches"], patch_size: int):
        super().__init__()
        check_permutation(permutation, len(permutation))
        self.model, self.patch_size = model, patch_size
        # A buffer, so that it moves to the model's device; the state dict stays without it.
        self.register_buffer("permutation", permutation, persistent=False)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """The model's logits of the permuted images; nothing here waits for the device."""
        rows, columns = _patch_grid(images, self.patch_size)
        if len(self.permutation) != rows * columns:
            raise ValueError(
                f"images: expected {len(self.permutation)} patches, as many as permutation has, got {rows * columns}"
            )
        return self.model(_move_patches(images, self.permutation, self.patch_size))


def _patch_grid(images: Tensor, patch_size: int) -> tuple[int, int]:
    height, width = images.shape[-2:]
    _check_positive(patch_size=patch_size)
    _check_multiple("image height", height, "patch_size", patch_size)
    _check_multiple("image width", width, "patch_size", patch_size)
    return height // patch_size, width // patch_size


def _move_patches(images: Tensor, permutation: Tensor, patch_size: int) -> Tensor:
    rows, columns = _patch_grid(images, patch_size)
    patches = images.unflatten(-1, (columns, patch_size)).unflatten(-3, (rows, patch_size))
    patches = patches.transpose(-3, -2).flatten(2, 3)  # (batch, channels, patches, patch_size, patch_size)
    patches = patches[:, :, permutation.to(images.device)]
    return patches.unflatten(2, (rows, columns)).transpose(-3, -2).reshape(images.shape)


def check_permutation(permutation: Int[Tensor, " patches"], num_patches: int) -> None:
    """Refuse a tensor that does not hold each of 0 .. num_patches - 1 once.

    Raises
    ------
    ValueError : naming how many indices there are, and how many of them are distinct and in range.
    """
    distinct = {index for index in permutation.tolist() if 0 <= index < num_patches}
    if len(permutation) != num_patches or len(distinct) != num_patches:
        raise ValueError(
            f"permutation: expected each of 0..{num_patches - 1} once, got {len(permutation)} indices "
            f"of which {len(distinct)} are distinct and in range; torch.randperm({num_patches}) makes one"
        )


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


def _check_positive(**arguments: int) -> None:
    for name, value in arguments.items():
        if value < 1:
            raise ValueError(f"{name}={value} must be at least 1; nearest: 1")


def _check_multiple(name: str, value: int, of: str, unit: int) -> None:
    if value % unit:
        nearest = max(1, round(value / unit)) * unit
        raise ValueError(f"{name}={value} must be a multiple of {of}={unit}; nearest: {nearest}")
