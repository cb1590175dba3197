"""Attention inside a ViT block: of the tokens' content, or of their positions alone."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention


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

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        encodings: Float[Tensor, "tokens dim"] | None = None,
        return_attention: bool = False,
    ) -> tuple[Float[Tensor, "batch tokens dim"], Float[Tensor, "*batch heads tokens tokens"] | None]:
        """Mix the tokens.

        Returns
        -------
        The mixed tokens and, where `return_attention` asks for it, the attention: (batch, heads, tokens,
        tokens) from content, (heads, tokens, tokens) from positions; otherwise None.
        """
        if encodings is None:
            mixed, attention = self._mix_by_content(tokens, return_attention)
        else:
            mixed, attention = self._mix_by_position(tokens, encodings)
        return self.proj(mixed), attention if return_attention else None

    def _mix_by_content(self, tokens: Float[Tensor, "batch tokens dim"], return_attention: bool):
        query, key, value = (self._heads(part) for part in self.qkv(tokens).chunk(3, dim=-1))
        if return_attention:  # the equation; the fused kernel below computes the same without the matrix
            attention = attention_matrix(query, key)
            mixed = attention @ value
        else:
            attention = None
            mixed = scaled_dot_product_attention(query, key, value)
        return mixed.transpose(1, 2).flatten(-2), attention

    def _mix_by_position(
        self, tokens: Float[Tensor, "batch tokens dim"], encodings: Float[Tensor, "tokens dim"]
    ):
        dim = tokens.shape[-1]  # the first 2 dim rows of the weight make queries and keys, the rest values
        query_key = linear(encodings, self.qkv.weight[: 2 * dim], self.qkv.bias[: 2 * dim])
        attention = attention_matrix(*(self._heads(part) for part in query_key.chunk(2, dim=-1)))
        value = linear(tokens, self.qkv.weight[2 * dim :], self.qkv.bias[2 * dim :])
        value = value.unflatten(-1, (self.num_heads, self.head_dim))
        # einsum folds the batch into the columns of one product per head; `@` would copy the attention.
        return torch.einsum("hij,bjhd->bihd", attention, value).flatten(-2), attention

    def _heads(self, features: Float[Tensor, "*batch tokens dim"]):
        return features.unflatten(-1, (self.num_heads, self.head_dim)).transpose(-3, -2)
