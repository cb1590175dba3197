"""Attention inside a ViT block: of the tokens' content, or of their positions alone."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear, scaled_dot_product_attention

from src.common.shapes import Float

EVERY = slice(None)


def attention_matrix(
    query: Float[Tensor, "*batch heads tokens head_dim"], key: Float[Tensor, "*batch heads tokens head_dim"]
) -> Float[Tensor, "*batch heads tokens tokens"]:
    """softmax(Q K^T / sqrt(head_dim)), row by row: row i says where token i looks."""
    return (query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5).softmax(dim=-1)


def positional_attention(
    encodings: Float[Tensor, "tokens dim"],
    norms: Sequence[nn.LayerNorm],
    projections: Sequence[nn.Linear],
    num_heads: int,
) -> Float[Tensor, "layers heads tokens tokens"]:
    """The attention matrices of all layers from the encodings alone, in one product of each kind for all layers.

    Parameters
    ----------
    norms, projections : `norm1` and `attn.qkv` of each layer; a layer's queries and keys come from its own.
    """
    dim = encodings.shape[-1]
    scale, shift = (torch.stack([getattr(norm, name) for norm in norms]) for name in ("weight", "bias"))
    # The first 2 dim rows of qkv make queries and keys, the rest values.
    weight, bias = (
        torch.stack([getattr(qkv, name)[: 2 * dim] for qkv in projections]) for name in ("weight", "bias")
    )
    # LayerNorm with each layer's own scale and shift; what is before them all layers share.
    encodings = layer_norm(encodings, (dim,), eps=norms[0].eps) * scale[:, None] + shift[:, None]
    query_key = torch.baddbmm(bias[:, None], encodings, weight.mT).unflatten(-1, (2, num_heads, -1))
    query, key = query_key.transpose(1, 3).unbind(2)  # from (layers, heads, 2, tokens, head_dim)
    return attention_matrix(query, key)


class Attention(nn.Module):
    """Multi-head attention with one set of weights and two ways to use it.

    Content attention computes queries, keys and values from the tokens: one matrix per image. With positional
    attention the matrix is given, see `positional_attention`, and only the values come from the tokens: one
    matrix per head serves every image, and is never copied per image. The weights have the same names and
    shapes in both, so that two models may start from the same draw.

    Parameters
    ----------
    embed_dim : width of tokens and encodings, a multiple of `num_heads`.
    num_heads : number of heads; `head_dim` is ``embed_dim // num_heads``.
    """

    def __init__(self, embed_dim: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        attention: Float[Tensor, "heads tokens tokens"] | None = None,
        return_attention: bool = False,
        rows: slice = EVERY,
    ) -> tuple[Float[Tensor, "batch rows dim"], Float[Tensor, "*batch heads rows tokens"] | None]:
        """Mix the tokens.

        Parameters
        ----------
        attention : of the positions; None for that of the tokens' content.
        rows : the tokens that look; all are looked at. What nobody reads afterwards need not be computed.

        Returns
        -------
        The mixed tokens and, where `return_attention` asks for it, the attention: (batch, heads, rows,
        tokens) from content, (heads, rows, tokens) from positions; otherwise None.
        """
        if attention is None:
            mixed, attention = self._mix_by_content(tokens, return_attention, rows)
        else:
            attention = attention[:, rows]
            mixed = self._mix_by_position(tokens, attention)
        return self.proj(mixed), attention if return_attention else None

    def _mix_by_content(self, tokens: Float[Tensor, "batch tokens dim"], return_attention: bool, rows: slice):
        if rows == EVERY:
            query, key, value = self.qkv(tokens).chunk(3, dim=-1)
        else:
            weight, bias = self._split(1, 2)
            query = linear(tokens[:, rows], weight[0], bias[0])
            key, value = linear(tokens, weight[1], bias[1]).chunk(2, dim=-1)
        query, key, value = (self._heads(part).transpose(1, 2) for part in (query, key, value))
        if return_attention:  # the equation; the fused kernel below computes the same without the matrix
            attention = attention_matrix(query, key)
            mixed = attention @ value
        else:
            attention = None
            mixed = scaled_dot_product_attention(query, key, value)
        return mixed.transpose(1, 2).flatten(-2), attention

    def _mix_by_position(
        self, tokens: Float[Tensor, "batch tokens dim"], attention: Float[Tensor, "heads rows tokens"]
    ):
        weight, bias = (parts[1] for parts in self._split(2, 1))
        if attention.shape[1] == 1:
            # One row: its mean of the tokens first, then the values of that; as rows sum to one, the same.
            mean = torch.einsum("hj,bjd->bhd", attention[:, 0], tokens)
            weight = weight.unflatten(0, (self.num_heads, self.head_dim))
            return (torch.einsum("bhd,hed->bhe", mean, weight).flatten(1) + bias)[:, None]
        value = self._heads(linear(tokens, weight, bias))
        # einsum folds the batch into the columns of one product per head; `@` would copy the attention.
        return torch.einsum("hij,bjhd->bihd", attention, value).flatten(-2)

    def _split(self, *parts: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Weight and bias of `qkv` in parts, of three in all: queries, keys and values, in this order."""
        dims = [part * self.proj.in_features for part in parts]
        return self.qkv.weight.split(dims), self.qkv.bias.split(dims)

    def _heads(self, features: Float[Tensor, "batch tokens dim"]):
        return features.unflatten(-1, (self.num_heads, self.head_dim))
