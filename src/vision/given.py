"""ViTs to which structure is given, and ViTs that have less of it than the paper's: each one change of the plain one.

All start from the same draws as the plain model, but for what they change. In the order of how much is given:

- `convolved`: overlapping 3x3 convolutions in the place of the linear patch projection, the smallest step of DHVT.
- `mask`: the logits of content attention times a learned mixture of Gaussians of the distance on the grid.
- `mimetic`: plain content attention from a start that looks as if trained: attend to what is alike and near.
- `content`, `positional`: the plain two.
- `free`: attention logits that are parameters themselves, by layer and head: the random Synthesizer.
- `uniform`: every token looks at all alike, and nothing of it is learned: a bag of patches.

References
----------
Lu et al., NeurIPS 2022 (DHVT); Li and Zhang, 2023 (Gaussian mixture mask); Trockman and Kolter, ICML 2023 (mimetic);
Tay et al., ICML 2021 (Synthesizer).
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from src.common.choices import one_of, refusal
from src.common.shapes import Float
from src.vision.attention import Attention
from src.vision.probes import grid_distance
from src.vision.sinusoid import grid_sinusoid
from src.vision.vit import VisionTransformer

WIDTHS = (1.0, 2.0, 4.0)  # of the mask's Gaussians at the start, in patches
# Of the mimetic start: queries times keys, values times projection; noise and identity weigh the same.
LIKE, APART = 0.7, 0.4


def given_transformer(variant: str, *shape: int, generator: torch.Generator | None) -> VisionTransformer:
    """An untrained model of a variant.

    Parameters
    ----------
    variant : a name out of `VARIANTS`.
    shape : image_size, patch_size, num_classes, embed_dim, depth, num_heads, mlp_dim of `VisionTransformer`.
    generator : random stream of the initial weights.
    """
    return VARIANTS[one_of("variant", variant, VARIANTS)](*shape, generator=generator)


# --- structure given ---


class MaskedAttention(Attention):
    """Content attention whose logits between patches are multiplied by a mixture of Gaussians of their distance.

    Each head has `WIDTHS` and amplitudes of its own, both learned. Rows and columns of CLS are left as they are.
    """

    def __init__(self, plain: Attention, grid: tuple[int, int]):
        nn.Module.__init__(self)
        self.num_heads, self.qkv, self.proj = plain.num_heads, plain.qkv, plain.proj
        self.register_buffer("square", grid_distance(grid).square().float())
        self.amplitude = nn.Parameter(torch.ones(self.num_heads, len(WIDTHS)))
        self.width = nn.Parameter(torch.tensor(WIDTHS).repeat(self.num_heads, 1))

    def mask(self) -> Float[Tensor, "heads tokens tokens"]:
        """The factors of the logits: 1 where CLS is, else the sum of amplitude exp(-distance^2 / (2 width^2))."""
        amplitude, width = (each[..., None, None] for each in (self.amplitude, self.width))
        factors = (amplitude * torch.exp(-self.square / (2 * width.square() + 1e-5))).sum(1)
        return nn.functional.pad(factors, (1, 0, 1, 0), value=1.0)

    def matrix(
        self,
        query: Float[Tensor, "*batch heads rows head_dim"],
        key: Float[Tensor, "*batch heads tokens head_dim"],
    ) -> Float[Tensor, "*batch heads rows tokens"]:
        logits = query / query.shape[-1] ** 0.5 @ key.mT
        return (logits * self.mask()[:, : query.shape[-2]]).softmax(-1)


class MaskedTransformer(VisionTransformer):
    def __init__(self, *shape: int, generator: torch.Generator | None = None):
        super().__init__(*shape, generator=generator)
        for block in self.blocks:
            block.attn = MaskedAttention(block.attn, self.grid)


class ConvolvedTransformer(VisionTransformer):
    """Patches overlap: 3x3 convolutions, each of which halves the side, as many as make a patch of one pixel.

    ValueError where the patches' side is no power of two.
    """

    def __init__(self, *shape: int, generator: torch.Generator | None = None):
        super().__init__(*shape, generator=generator)
        halvings = self.patch_size.bit_length() - 1
        if halvings < 1 or 2**halvings != self.patch_size:
            raise ValueError(refusal("patch_size", self.patch_size, "2, 4, 8, …", 2 ** max(1, halvings)))
        dim = self.pos_embed.shape[-1]
        channels = [self.in_channels, *(dim // 2**step for step in reversed(range(halvings)))]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(channels):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.GELU()]
            nn.init.xavier_uniform_(layers[-2].weight.flatten(1), generator=generator)
            nn.init.zeros_(layers[-2].bias)
        self.patch_embed.proj = nn.Sequential(*layers[:-1])


@torch.no_grad()
def mimetic_transformer(*shape: int, generator: torch.Generator | None = None) -> VisionTransformer:
    """Content attention from sinusoidal encodings, and products of weights that mimic trained ones.

    Queries times keys are near the identity: of each head the first singular vectors of its own draw of 0.7 (Z + I).
    Values times projection are near minus the identity: 0.4 (Z - I). Entries of Z have variance 1 / dim.
    """
    model = VisionTransformer(*shape, generator=generator)
    dim = model.pos_embed.shape[-1]
    model.pos_embed[0, 1:] = grid_sinusoid(model.grid[0], dim)
    for block in model.blocks:
        attn, head_dim = block.attn, dim // block.attn.num_heads
        query, key, value = attn.qkv.weight.view(3, dim, dim)
        for rows in torch.arange(dim).split(head_dim):
            left, right = _factors(LIKE, LIKE, dim, generator)
            query[rows], key[rows] = left[:, :head_dim].T, right[:, :head_dim].T
        left, right = _factors(APART, -APART, dim, generator)
        value.copy_(left.T)
        attn.proj.weight.copy_(right)
    return model


def _factors(
    noise: float, identity: float, dim: int, generator: torch.Generator | None
) -> tuple[Float[Tensor, "dim dim"], Float[Tensor, "dim dim"]]:
    """L, R with L R^T = noise Z + identity I, the largest singular values first."""
    drawn = torch.randn(dim, dim, generator=generator) / dim**0.5
    left, values, right = torch.linalg.svd(noise * drawn + identity * torch.eye(dim))
    return left * values.sqrt(), right.T * values.sqrt()


# --- structure withheld ---


class FreeAttention(Attention):
    """The attention of a layer from logits of its own, one matrix a head; queries and keys are left unused."""

    def __init__(self, plain: Attention, num_tokens: int, *, learned: bool):
        nn.Module.__init__(self)
        self.num_heads, self.qkv, self.proj = plain.num_heads, plain.qkv, plain.proj
        self.logits = nn.Parameter(torch.zeros(self.num_heads, num_tokens, num_tokens), requires_grad=learned)

    def matrix(
        self,
        query: Float[Tensor, "*batch heads rows head_dim"],
        key: Float[Tensor, "*batch heads tokens head_dim"],
    ) -> Float[Tensor, "1 heads tokens tokens"]:
        return self.logits.softmax(-1)[None]


class FreeTransformer(VisionTransformer):
    """Attention logits start at zero, uniform; where they are not `learned` they stay so. Values see patches alone."""

    def __init__(self, *shape: int, learned: bool = True, generator: torch.Generator | None = None):
        super().__init__(*shape, "positional", generator=generator)
        for block in self.blocks:
            block.attn = FreeAttention(block.attn, self.pos_embed.shape[1], learned=learned)

    def shared_attention(self) -> Float[Tensor, "layers heads tokens tokens"]:
        return torch.stack([block.attn.logits for block in self.blocks]).softmax(-1)


VARIANTS: dict[str, Callable[..., VisionTransformer]] = {
    "content": partial(VisionTransformer, attention="content"),
    "mask": MaskedTransformer,
    "convolved": ConvolvedTransformer,
    "mimetic": mimetic_transformer,
    "positional": partial(VisionTransformer, attention="positional"),
    "free": FreeTransformer,
    "uniform": partial(FreeTransformer, learned=False),
}
