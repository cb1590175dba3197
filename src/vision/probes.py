"""What a trained ViT has learned about space: which encodings are alike, and how far attention reaches."""

from dataclasses import dataclass
from math import nan

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from src.common.shapes import Float, Int
from src.vision.permutation import check_permutation


def position_similarity(
    model_or_pos_embed: nn.Module | Float[Tensor, "1 tokens dim"],
) -> Float[Tensor, "patches patches"]:
    """Cosine similarity of the positional encodings of the patches; the CLS encoding is left out.

    The paper draws P^T P with values normalised to [-1, 1], and thresholds it at 0.55. We read this as the
    similarity of unit vectors, as in the pictures of the ViT literature: the diagonal is 1, and independent
    random encodings of width `embed_dim` have similarities of about +-1 / sqrt(embed_dim).

    Parameters
    ----------
    model_or_pos_embed : a model with the parameter `pos_embed`, or that tensor, (1, 1 + patches, embed_dim)
        with CLS in front.

    Returns
    -------
    (patches, patches), in [-1, 1], patches row by row, on the device of the encodings and without gradient.
    """
    is_model = isinstance(model_or_pos_embed, nn.Module)
    pos_embed = model_or_pos_embed.pos_embed if is_model else model_or_pos_embed
    return cosines(pos_embed.detach()[0, 1:].double()).clamp(-1, 1).float()


def cosines(tokens: Float[Tensor, "*leading patches dim"]) -> Float[Tensor, "*leading patches patches"]:
    """Cosine similarity of all pairs of tokens."""
    directions = normalize(tokens, dim=-1)
    return directions @ directions.mT


@dataclass(frozen=True)
class Locality:
    """How far similarity follows the grid.

    Attributes
    ----------
    correlation : minus the Pearson correlation of similarity and distance over pairs of different patches:
        positive where near patches are alike, about 0 for random encodings; nan where either is constant.
    neighbour_share : share of a patch's grid neighbours among its most similar patches, mean over patches.
    chance_share : what `neighbour_share` is on average for a random similarity.
    """

    correlation: float
    neighbour_share: float
    chance_share: float


def locality(similarity: Float[Tensor, "patches patches"], grid: tuple[int, int]) -> Locality:
    """Compare a similarity of patches with their distance on the grid.

    Pearson's correlation with the Euclidean distance: the plain reading of "near patches are alike", and
    unchanged by any choice of offset and scale for the similarity. The neighbours of a patch are the 2 to 4
    patches at distance one (so that no tie of distances is broken); k neighbours are looked for among the k
    most similar patches.

    Parameters
    ----------
    similarity : (patches, patches); the diagonal is not used.
    grid : (height, width) in patches.

    Raises
    ------
    ValueError : a grid of a single patch, or one that does not have as many patches as the similarity.
    """
    distance = grid_distance(grid).to(similarity.device)
    num_patches = len(similarity)
    if num_patches != len(distance) or num_patches < 2:
        needed = "the same number, 2 or more, is needed"
        raise ValueError(f"grid={grid} has {len(distance)} patches, similarity {num_patches}; {needed}")
    off_diagonal = ~torch.eye(num_patches, dtype=torch.bool, device=similarity.device)

    is_neighbour = distance == 1
    num_neighbours = is_neighbour.sum(dim=1)
    ranking = similarity.masked_fill(~off_diagonal, -torch.inf).argsort(dim=1, descending=True)
    in_top = torch.arange(num_patches, device=similarity.device) < num_neighbours[:, None]
    hits = (is_neighbour.gather(1, ranking) & in_top).sum(dim=1)
    return Locality(
        correlation=nearness_correlation(similarity, distance),
        neighbour_share=(hits / num_neighbours).mean().item(),
        chance_share=(num_neighbours / (num_patches - 1)).mean().item(),
    )


def nearness_correlation(
    similarity: Float[Tensor, "patches patches"], distance: Float[Tensor, "patches patches"]
) -> float:
    """Minus the Pearson correlation of similarity and any distance over pairs of different patches; see `Locality`."""
    different = ~torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    pairs = similarity.double()[different], distance.to(similarity.device, torch.float64)[different]
    return -torch.corrcoef(torch.stack(pairs))[0, 1].item()


def mantel_test(
    similarity: Float[Tensor, "patches patches"],
    near: tuple[int, int] | Float[Tensor, "patches patches"],
    *,
    permutations: int = 999,
    generator: torch.Generator,
) -> float:
    """How likely random places would be as close to the similarity as the patches' own: a permutation p-value.

    The null hypothesis is that similarity has nothing to do with place. Then any assignment of the patches to the
    places of the grid is as good as the true one; the p-value is the share of random assignments, the true one
    counted among them, whose `nearness_correlation` is at least the true one's. Pairs of patches share patches, so
    that the usual test of a correlation, for independent pairs, would not do. nan where a similarity is not finite.

    Parameters
    ----------
    similarity : (patches, patches), symmetric; the diagonal is not used.
    near : (height, width) of the grid in patches, or other distances of the patches, symmetric.
    permutations : random assignments; the p-value is at least 1 / (permutations + 1).

    References
    ----------
    Mantel, The detection of disease clustering and a generalized regression approach, Cancer Research 27, 1967.
    """
    distance = near.double().cpu() if isinstance(near, Tensor) else grid_distance(near)
    similarity = similarity.double().cpu()
    if not similarity.isfinite().all():
        return nan
    # A permutation leaves means and spreads as they are, so that sums of products order the correlations: the smaller
    # the sum, the nearer are patches that are alike.
    observed = (similarity * distance).sum()
    orders = (torch.randperm(len(distance), generator=generator) for _ in range(permutations))
    drawn = torch.stack([(similarity[order][:, order] * distance).sum() for order in orders])
    rounding = 1e-9 * (similarity.abs() * distance).sum()
    return (1 + (drawn <= observed + rounding).sum().item()) / (1 + permutations)


def grid_distance(grid: tuple[int, int]) -> Float[Tensor, "patches patches"]:
    """Euclidean distances between the patches of a grid (height, width), in patches, float64, row by row."""
    rows, columns = (torch.arange(side, dtype=torch.float64) for side in grid)
    places = torch.cartesian_prod(rows, columns)
    return (places[:, None] - places[None]).square().sum(dim=-1).sqrt()


def undo_permutation(
    similarity: Float[Tensor, "*leading patches patches"], permutation: Int[Tensor, " patches"]
) -> Float[Tensor, "*leading patches patches"]:
    """Bring a similarity measured on permuted images back to the original grid.

    Parameters
    ----------
    similarity : (..., patches, patches) of a model trained on ``permute_patches(images, permutation, ...)``.
    permutation : (patches,), the one that was used: place i showed the patch ``permutation[i]``.

    Returns
    -------
    The same values, rows and columns in the order of the patches of the original images.

    Raises
    ------
    ValueError : indices that are no permutation of the patches.
    """
    check_permutation(permutation, similarity.shape[-1])
    place = permutation.argsort().to(similarity.device)  # where each original patch went
    return similarity[..., place[:, None], place]


@torch.no_grad()
def attention_maps(
    model: nn.Module, images: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, "depth heads tokens tokens"]:
    """Attention of every layer and head, mean over the images; positional attention is the same for all.

    Parameters
    ----------
    model : a `VisionTransformer` of either attention.
    images : (batch, channels, height, width), as the model takes them.

    Returns
    -------
    (depth, heads, tokens, tokens); rows sum to one, row and column 0 belong to CLS.
    """
    attention = model(images, return_intermediates=True)[1].attention
    return torch.stack([layer.mean(dim=0) for layer in attention])


def attention_distance(
    attention: Float[Tensor, "*leading tokens tokens"], grid: tuple[int, int]
) -> Float[Tensor, "*leading"]:
    """Mean distance between a patch and where it looks: the mean attention distance of the ViT literature.

    The CLS token has no place on the grid: its row and column are left out, and what a patch gives to the
    other patches is weighed so that it sums to one.

    Parameters
    ----------
    attention : (..., 1 + patches, 1 + patches), for example from `attention_maps`.
    grid : (height, width) in patches.

    Returns
    -------
    (...), in patches; times `patch_size` in pixels.

    Raises
    ------
    ValueError : a grid that does not have one patch less than there are tokens.

    References
    ----------
    Dosovitskiy et al., ICLR 2021.
    """
    distance = grid_distance(grid).to(attention)
    if attention.shape[-1] != 1 + len(distance):
        raise ValueError(
            f"grid={grid} has {len(distance)} patches and needs {1 + len(distance)} tokens, "
            f"attention has {attention.shape[-1]}"
        )
    patches = attention[..., 1:, 1:]
    reach = (patches * distance).sum(dim=-1) / patches.sum(dim=-1)
    return reach.mean(dim=-1)
