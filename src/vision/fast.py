"""The logits of a ViT, computed with less than the equation asks for; `VisionTransformer.reference` is the equation.

Three things are left out, none of which a logit depends on. After the last block the CLS token alone is read, so there
it alone is computed. Positional attention is the same for every image, so it is computed once, for all layers together,
and never copied per image. Nobody sees the attention of content, so a fused kernel may keep it to itself.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear, scaled_dot_product_attention

from src.common.shapes import Float
from src.vision.attention import Attention, attention_matrix

if TYPE_CHECKING:
    from src.vision.vit import VisionTransformer

EVERY, CLS = slice(None), slice(0, 1)


def fast_logits(
    model: "VisionTransformer",
    images: Tensor,
    matrices: Float[Tensor, "layers heads tokens tokens"] | None = None,
) -> Float[Tensor, "batch classes"]:
    """What ``model.reference(images)`` gives, without its intermediates; by other `matrices` than its own if given."""
    tokens = model.embed(images)
    matrices = model.shared_attention() if matrices is None else matrices
    for index, block in enumerate(model.blocks):
        rows = CLS if index + 1 == len(model.blocks) else EVERY
        normed = block.norm1(tokens)
        if matrices is None:
            mixed = mix_by_content(block.attn, normed, rows)
        else:
            # Not `unbind`: of one layer, torch.compile (2.12, CPU) returns a wrong gradient of it.
            mixed = mix_by_position(block.attn, normed, matrices[index][:, rows])
        tokens = tokens[:, rows] + block.attn.proj(mixed)
        tokens = tokens + block.mlp(block.norm2(tokens))
    return model.head(model.norm(tokens[:, 0]))


def positional_attention(model: "VisionTransformer") -> Float[Tensor, "layers heads tokens tokens"]:
    """The attention matrices of all layers from the encodings alone, in one product of each kind for all layers."""
    encodings, num_heads = model.pos_embed[0], model.blocks[0].attn.num_heads
    dim = encodings.shape[-1]
    scale, shift = (
        torch.stack([getattr(block.norm1, name) for block in model.blocks]) for name in ("weight", "bias")
    )
    # The first 2 dim rows of qkv make queries and keys, the rest values.
    weight, bias = (
        torch.stack([getattr(block.attn.qkv, name)[: 2 * dim] for block in model.blocks])
        for name in ("weight", "bias")
    )
    # LayerNorm with each layer's own scale and shift; what is before them all layers share.
    normed = layer_norm(encodings, (dim,), eps=model.blocks[0].norm1.eps) * scale[:, None] + shift[:, None]
    query_key = torch.baddbmm(bias[:, None], normed, weight.mT).unflatten(-1, (2, num_heads, -1))
    query, key = query_key.transpose(1, 3).unbind(2)  # from (layers, heads, 2, tokens, head_dim)
    return attention_matrix(query, key)


def mix_by_position(
    attn: Attention, tokens: Float[Tensor, "batch tokens dim"], attention: Float[Tensor, "heads rows tokens"]
) -> Float[Tensor, "batch rows dim"]:
    """The heads' mixed values, by matrices that serve every image."""
    weight, bias = _part(attn, 2, 3)
    if attention.shape[1] == 1:
        # One row: its mean of the tokens first, then the values of that; as rows sum to one, the same.
        mean = torch.einsum("hj,bjd->bhd", attention[:, 0], tokens)
        weight = weight.unflatten(0, (attn.num_heads, -1))
        return (torch.einsum("bhd,hed->bhe", mean, weight).flatten(1) + bias)[:, None]
    value = linear(tokens, weight, bias).unflatten(-1, (attn.num_heads, -1))
    # einsum folds the batch into the columns of one product per head; `@` would copy the attention.
    return torch.einsum("hij,bjhd->bihd", attention, value).flatten(-2)


def mix_by_content(
    attn: Attention, tokens: Float[Tensor, "batch tokens dim"], rows: slice
) -> Float[Tensor, "batch rows dim"]:
    """The heads' mixed values, each image by its own matrices."""
    if rows == EVERY:
        query, key, value = attn.qkv(tokens).chunk(3, dim=-1)
    else:
        query = linear(tokens[:, rows], *_part(attn, 0, 1))
        key, value = linear(tokens, *_part(attn, 1, 3)).chunk(2, dim=-1)
    query, key, value = (attn.by_head(part) for part in (query, key, value))
    # The fused kernel's backward pass on the CPU takes longer in bfloat16 than all else together.
    slow = query.device.type == "cpu" and query.dtype == torch.bfloat16
    if slow or type(attn) is not Attention:
        mixed = attn.matrix(query, key) @ value
    else:
        mixed = scaled_dot_product_attention(query, key, value)
    return mixed.transpose(1, 2).flatten(-2)


def _part(attn: Attention, first: int, last: int) -> tuple[Tensor, Tensor]:
    """Weight and bias of thirds `first` to `last` of `qkv`: queries, keys, values."""
    dim = attn.proj.in_features
    return tuple(parameter[first * dim : last * dim] for parameter in (attn.qkv.weight, attn.qkv.bias))
