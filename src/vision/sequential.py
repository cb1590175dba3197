"""SeqPE's encodings: a place is written in digits, and a small transformer reads them; with its contrastive loss."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.common.shapes import Float, Int64


class SequentialEncoder(nn.Module):
    """Encodings of places (row, column) from their digits: row first, highest digit first, zeros on the left.

    A token is the sum of three learned vectors: of the digit, of its place in the number, of the axis. A causal
    pre-norm transformer without dropout reads the tokens; the last one, after a LayerNorm, is the encoding.

    Parameters
    ----------
    base : of the digits. num_digits : in each of the two numbers.
    embed_dim : width, a multiple of `num_heads`. depth : layers.

    References
    ----------
    Li et al., SeqPE: Transformer with Sequential Position Encoding, 2025.
    """

    def __init__(self, base: int, num_digits: int, embed_dim: int, depth: int, num_heads: int):
        super().__init__()
        self.base, self.num_digits = base, num_digits
        self.digit = nn.Embedding(base, embed_dim)
        self.place = nn.Embedding(num_digits, embed_dim)
        self.axis = nn.Embedding(2, embed_dim)
        layer = nn.TransformerEncoderLayer(
            embed_dim,
            num_heads,
            4 * embed_dim,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.reader = nn.TransformerEncoder(
            layer, depth, norm=nn.LayerNorm(embed_dim), enable_nested_tensor=False
        )
        self.register_buffer("ahead", nn.Transformer.generate_square_subsequent_mask(2 * num_digits))

    def forward(self, places: Int64[Tensor, "places 2"]) -> Float[Tensor, "places dim"]:
        tokens = self.digit(digits(places, self.base, self.num_digits)) + self.place.weight
        tokens = (tokens + self.axis.weight[:, None]).flatten(1, 2)
        return self.reader(tokens, mask=self.ahead, is_causal=True)[:, -1]


class EncodingTable(nn.Module):
    """A free encoding for each place of a square grid: what most vision transformers learn, and the control here."""

    def __init__(self, side: int, embed_dim: int):
        super().__init__()
        self.side = side
        self.table = nn.Embedding(side**2, embed_dim)
        self.norm = nn.LayerNorm(embed_dim)

    def forward(self, places: Int64[Tensor, "places 2"]) -> Float[Tensor, "places dim"]:
        return self.norm(self.table(places[:, 0] * self.side + places[:, 1]))


def digits(
    places: Int64[Tensor, "places axes"], base: int, num_digits: int
) -> Int64[Tensor, "places axes digits"]:
    """Each number in digits, the highest first; what does not fit into `num_digits` is left out."""
    powers = base ** torch.arange(num_digits - 1, -1, -1, device=places.device)
    return places[..., None] // powers % base


def square(side: int, corner: tuple[int, int] = (0, 0)) -> Int64[Tensor, "places 2"]:
    """The places of a square, row by row."""
    rows, columns = (start + torch.arange(side) for start in corner)
    return torch.cartesian_prod(rows, columns)


def contrastive_loss(
    encodings: Float[Tensor, "places dim"],
    places: Int64[Tensor, "places 2"],
    pivots: Int64[Tensor, " pivots"],
    candidates: Int64[Tensor, "pivots candidates"],
) -> Float[Tensor, ""]:
    """SeqPE's: of some random places the nearest to a pivot shall have the largest inner product with it.

    Parameters
    ----------
    pivots, candidates : rows of `places`. Of candidates at the same distance the first is the nearest.

    Returns
    -------
    Mean cross-entropy over the pivots.
    """
    away = (places[candidates] - places[pivots][:, None]).square().sum(-1)
    logits = (encodings[candidates] @ encodings[pivots][..., None]).squeeze(-1)
    return F.cross_entropy(logits, away.argmin(1))
