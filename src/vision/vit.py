"""The Vision Transformer of the paper's experiments, with content or with positional attention."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from src.common.choices import check_multiple, check_positive, one_of
from src.common.shapes import Float
from src.vision.attention import Attention
from src.vision.fast import fast_logits, positional_attention

ATTENTIONS = ("content", "positional")


class Intermediates(NamedTuple):
    """What a forward pass can show of itself.

    Attributes
    ----------
    attention : of each layer: (batch, heads, tokens, tokens) from content, (1, heads, tokens, tokens) from
        positions, the same for every image. Rows sum to one; row and column 0 belong to the CLS token.
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
        self, tokens: Float[Tensor, "batch tokens dim"], encodings: Float[Tensor, "1 tokens dim"] | None
    ) -> tuple[Float[Tensor, "batch tokens dim"], Tensor]:
        """The tokens after the block, and its attention; `encodings` are None where the tokens' content decides."""
        normed = self.norm1(tokens)
        # The one line in which the two differ:
        source = normed if encodings is None else self.norm1(encodings)
        mixed, attention = self.attn(source, normed)
        tokens = tokens + mixed
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
    add_encoding : whether positional attention adds the encodings to the tokens too: a variant. By default they
        enter through queries and keys alone, so that the values see the patches without them (Definition 3.2).
        Content attention always adds them; it has no other way to see positions.
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
        add_encoding: bool = False,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        check_positive(image_size=image_size, patch_size=patch_size, in_channels=in_channels)
        check_positive(num_classes=num_classes, embed_dim=embed_dim, depth=depth)
        check_positive(num_heads=num_heads, mlp_dim=mlp_dim)
        check_multiple("image_size", image_size, "patch_size", patch_size)
        check_multiple("embed_dim", embed_dim, "num_heads", num_heads)
        one_of("attention", attention, ATTENTIONS)
        self.image_size, self.patch_size, self.in_channels = image_size, patch_size, in_channels
        self.attention, self.add_encoding = attention, add_encoding or attention == "content"
        self.grid = (image_size // patch_size, image_size // patch_size)
        num_tokens = 1 + self.grid[0] * self.grid[1]

        self.patch_embed = PatchEmbed(patch_size, in_channels, embed_dim)
        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim))
        self.pos_embed = nn.Parameter(torch.empty(1, num_tokens, embed_dim))
        self.blocks = nn.ModuleList(Block(embed_dim, num_heads, mlp_dim) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.head = nn.Linear(embed_dim, num_classes)
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
        return self.reference(images) if return_intermediates else fast_logits(self, images)

    def reference(self, images: Tensor) -> tuple[Float[Tensor, "batch classes"], Intermediates]:
        """The equation, layer by layer; `src.vision.fast` gives the same logits sooner."""
        seen = self.intermediates(self.embed(images))
        return self.head(self.norm(seen.tokens[-1][:, 0])), seen

    def intermediates(self, tokens: Float[Tensor, "batch tokens dim"]) -> Intermediates:
        """What the blocks make of embedded tokens."""
        encodings = self.pos_embed if self.attention == "positional" else None
        attentions, layers = [], [tokens]
        for block in self.blocks:
            tokens, attention = block(tokens, encodings)
            attentions.append(attention)
            layers.append(tokens)
        return Intermediates(tuple(attentions), tuple(layers))

    def shared_attention(self) -> Float[Tensor, "layers heads tokens tokens"] | None:
        """The attention that serves every image; None where the content of each decides."""
        return positional_attention(self) if self.attention == "positional" else None

    def embed(self, images: Tensor) -> Float[Tensor, "batch tokens dim"]:
        """CLS and the patches' embeddings, with the encodings where they are added."""
        self._check_images(images)
        patches = self.patch_embed(images)
        tokens = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        return tokens + self.pos_embed if self.add_encoding else tokens

    def _check_images(self, images: Tensor) -> None:
        expected = (self.in_channels, self.image_size, self.image_size)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(
                f"images: expected shape (batch, {', '.join(map(str, expected))}), got {tuple(images.shape)}"
            )
        if not images.is_floating_point():
            raise ValueError(f"images: expected floating point, got {images.dtype}; scale them first")
