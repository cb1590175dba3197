"""Attention inside a ViT block: of the tokens' content, or of their positions alone."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

EVERY = slice(None)


def attention_matrix(
    query: Float[Tensor, "*batch heads tokens head_dim"], key: Float[Tensor, "*batch heads tokens head_dim"]
) -> Float[Tensor, "*batch heads tokens tokens"]:
    """softmax(Q K^T / sqrt(head_dim)), row by row: row i says where token i looks."""
    return (query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5).softmax(dim=-1)


class Attention(nn.Module):
    """Multi-head attention with one set of weights and two ways to use it.

    Content attention (no `encodings` given) computes queries, keys and values from the tokens: one
    matrix per image. Positional attention computes queries and keys from the positional encodings and
    only the values from the tokens: one matrix per head serves every image, and is never copied per image.
    The weights have the same names and shapes in both, so that two models may start from the same draw.

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
        self.register_buffer("frozen", None, persistent=False)  # see `src.vision.vit.freeze_attention`

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        encodings: Float[Tensor, "tokens dim"] | None = None,
        return_attention: bool = False,
        rows: slice = EVERY,
    ) -> tuple[Float[Tensor, "batch rows dim"], Float[Tensor, "*batch heads rows tokens"] | None]:
        """Mix the tokens.

        Parameters
        ----------
        rows : the tokens that look; all are looked at. What nobody reads afterwards need not be computed.

        Returns
        -------
        The mixed tokens and, where `return_attention` asks for it, the attention: (batch, heads, rows,
        tokens) from content, (heads, rows, tokens) from positions; otherwise None.
        """
        if encodings is None:
            mixed, attention = self._mix_by_content(tokens, return_attention, rows)
        else:
            mixed, attention = self._mix_by_position(tokens, encodings, rows)
        return self.proj(mixed), attention if return_attention else None

    def positional_matrix(
        self, encodings: Float[Tensor, "tokens dim"]
    ) -> Float[Tensor, "heads tokens tokens"]:
        """The attention of positions alone, one matrix per head, with its gradient."""
        weight, bias = self._split(2, 1)
        query, key = linear(encodings, weight[0], bias[0]).chunk(2, dim=-1)
        return attention_matrix(self._heads(query), self._heads(key))

    def _mix_by_content(self, tokens: Float[Tensor, "batch tokens dim"], return_attention: bool, rows: slice):
        if rows == EVERY:
            query, key, value = self.qkv(tokens).chunk(3, dim=-1)
        else:
            weight, bias = self._split(1, 2)
            query = linear(tokens[:, rows], weight[0], bias[0])
            key, value = linear(tokens, weight[1], bias[1]).chunk(2, dim=-1)
        query, key, value = (self._heads(part) for part in (query, key, value))
        if return_attention:  # the equation; the fused kernel below computes the same without the matrix
            attention = attention_matrix(query, key)
            mixed = attention @ value
        else:
            attention = None
            mixed = scaled_dot_product_attention(query, key, value)
        return mixed.transpose(1, 2).flatten(-2), attention

    def _mix_by_position(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        encodings: Float[Tensor, "tokens dim"],
        rows: slice,
    ):
        attention = self.positional_matrix(encodings) if self.frozen is None else self.frozen
        attention = attention[:, rows]
        weight, bias = self._split(2, 1)
        value = linear(tokens, weight[1], bias[1]).unflatten(-1, (self.num_heads, self.head_dim))
        # einsum folds the batch into the columns of one product per head; `@` would copy the attention.
        return torch.einsum("hij,bjhd->bihd", attention, value).flatten(-2), attention

    def _split(self, *parts: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Weight and bias of `qkv` in parts, of three in all: queries, keys and values, in this order."""
        dims = [part * self.proj.in_features for part in parts]
        return self.qkv.weight.split(dims), self.qkv.bias.split(dims)

    def _heads(self, features: Float[Tensor, "*batch tokens dim"]):
        return features.unflatten(-1, (self.num_heads, self.head_dim)).transpose(-3, -2)
