"""Attention inside a ViT block, as the equation says it; `src.vision.fast` computes the same with less."""

from torch import Tensor, nn

from src.common.shapes import Float


def attention_matrix(
    query: Float[Tensor, "*batch heads rows head_dim"], key: Float[Tensor, "*batch heads tokens head_dim"]
) -> Float[Tensor, "*batch heads rows tokens"]:
    """softmax(Q K^T / sqrt(head_dim)), row by row: row i says where token i looks."""
    return (query / query.shape[-1] ** 0.5 @ key.transpose(-2, -1)).softmax(dim=-1)


class Attention(nn.Module):
    """Multi-head attention, softmax(Q K^T / sqrt(head_dim)) V, with Q and K of one thing and V of another.

    Parameters
    ----------
    embed_dim : width of what it is given, a multiple of `num_heads`.
    num_heads : number of heads; head_dim is ``embed_dim // num_heads``.
    """

    def __init__(self, embed_dim: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)

    def forward(
        self, source: Float[Tensor, "sources tokens dim"], tokens: Float[Tensor, "batch tokens dim"]
    ) -> tuple[Float[Tensor, "batch tokens dim"], Float[Tensor, "sources heads tokens tokens"]]:
        """Mix the tokens by where their sources look.

        Parameters
        ----------
        source : what queries and keys are computed from: the tokens themselves, or one set of encodings for all.
        tokens : what values are computed from.

        Returns
        -------
        The mixed tokens, and the attention: one matrix a head for each source.
        """
        query, key, _ = map(self.by_head, self.qkv(source).chunk(3, dim=-1))
        _, _, value = map(self.by_head, self.qkv(tokens).chunk(3, dim=-1))
        attention = self.matrix(query, key)
        mixed = (attention @ value).transpose(1, 2).flatten(2)
        return self.proj(mixed), attention

    def matrix(
        self,
        query: Float[Tensor, "*batch heads rows head_dim"],
        key: Float[Tensor, "*batch heads tokens head_dim"],
    ) -> Float[Tensor, "*batch heads rows tokens"]:
        """Where each row looks; the rows are all tokens or the first, CLS. `src.vision.given` has other kinds."""
        return attention_matrix(query, key)

    def by_head(
        self, features: Float[Tensor, "batch tokens dim"]
    ) -> Float[Tensor, "batch heads tokens head_dim"]:
        return features.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
