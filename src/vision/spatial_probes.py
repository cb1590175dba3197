"""Neighbours' measures of spatial structure: of similarities on a grid, of positions read back, of a fixed pattern."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from src.common.choices import called
from src.common.shapes import Bool, Float, Int
from src.vision.permutation import Permuted, permute_patches

FAR, DISTANCES = 6, range(1, 9)  # Manhattan distances, in patches
BINS = 60  # directions, 6 degrees each


class Structure(NamedTuple):
    """LDS, CDS and RMSC of each similarity."""

    lds: Float[Tensor, "*leading"]
    cds: Float[Tensor, "*leading"]
    rmsc: Float[Tensor, "*leading"]


def structure(similarity: Float[Tensor, "*leading patches patches"], grid: tuple[int, int]) -> Structure:
    """How cosine similarity falls with the Manhattan distance on the grid, and how far the tokens spread.

    LDS: its mean over neighbours, at distance 1, less that over pairs at distance 6 or more. CDS: minus the slope of
    the line through its means at distances 1 to 8. RMSC: root mean square distance of the tokens, at length one, from
    their mean, which is the root of 1 - mean similarity over all pairs.

    Parameters
    ----------
    similarity : (..., patches, patches), patches row by row, ones on the diagonal. grid : (height, width) in patches.

    Raises
    ------
    ValueError : a grid with another number of patches, or without a pair at distance 6.

    References
    ----------
    Singh et al., What matters for representation alignment, 2025.
    """
    vertical, horizontal = (each.abs() for each in _offsets(grid, similarity.shape[-1]))
    distance = vertical + horizontal
    if distance.max() < FAR:
        raise ValueError(f"grid={grid}: a pair of patches at distance {FAR} is needed")
    means = {
        each: similarity[..., distance == each].mean(-1) for each in DISTANCES if (distance == each).any()
    }
    far = similarity[..., distance >= FAR].mean(-1)
    steps = torch.tensor([*means]).to(similarity)
    steps = steps - steps.mean()
    slope = torch.stack([*means.values()], dim=-1) @ steps / steps.square().sum()
    spread = (1 - similarity.mean(dim=(-2, -1))).clamp(min=0).sqrt()
    return Structure(means[1] - far, -slope, spread)


def monotonicity(similarity: Float[Tensor, "patches patches"], grid: tuple[int, int]) -> tuple[float, float]:
    """Undirected and directed monotonicity of encodings, 0 to 2: 2 where similarity falls with every step away.

    Random encodings have about 1 in each direction, and 1.3 undirected on 8 x 8 patches, for the centre counts.

    Undirected: from each centre, similarity is averaged over the patches at each radius, rounded to whole patches, the
    centre's own included; 1 - Spearman's correlation of radius and average; mean over centres. Directed: the same of
    single patches inside each of 60 bins of the direction from the centre, mean over bins and centres.

    What the source leaves open is read so that its 1-d sinusoid, 768 numbers on a grid of 14 x 14, has the values that
    it prints, 1.9567 and 1.4905: rounded radii; ties share their rank; the centre lies in the first bin; a bin of less
    than two patches, and one where nothing varies, counts 0.

    Parameters
    ----------
    similarity : (patches, patches), patches row by row. grid : (height, width) in patches.

    References
    ----------
    Chowdhury et al., LOOPE: learnable optimal patch order in positional embeddings, 2025.
    """
    return undirected_monotonicity(similarity, grid), _directed_monotonicity(similarity, grid)


def undirected_monotonicity(similarity: Float[Tensor, "patches patches"], grid: tuple[int, int]) -> float:
    """The first of the two, without the work of the second."""
    similarity = similarity.double()
    radius = torch.hypot(*_offsets(grid, len(similarity)).double()).round()
    at = torch.arange(int(radius.max()) + 1) == radius[..., None]  # (centres, patches, radii)
    count = at.sum(1)
    average = (at * similarity[..., None]).sum(1) / count.clamp(min=1)
    levels = torch.arange(count.shape[1]).double().expand_as(average)
    return (1 - _spearman(levels, average, (count > 0)[..., None])).mean().item()


def _directed_monotonicity(similarity: Float[Tensor, "patches patches"], grid: tuple[int, int]) -> float:
    similarity = similarity.double()
    down, right = _offsets(grid, len(similarity)).double()
    # rounding moves none
    bin_of = (torch.atan2(right, down) * BINS / (2 * torch.pi) + 1e-9).floor().long() % BINS
    in_bin = bin_of[..., None] == torch.arange(BINS)
    return (1 - _spearman(torch.hypot(down, right), similarity, in_bin)).mean().item()


def _offsets(grid: tuple[int, int], patches: int) -> Int[Tensor, "2 patches patches"]:
    """Steps down and right from each patch (first) to each other."""
    places = torch.cartesian_prod(*map(torch.arange, grid))
    if len(places) != patches:
        raise ValueError(f"grid={grid} has {len(places)} patches, the similarity {patches}")
    return (places[None] - places[:, None]).movedim(-1, 0)


def _spearman(
    first: Float[Tensor, "rows items"],
    second: Float[Tensor, "rows items"],
    member: Bool[Tensor, "rows items groups"],
) -> Float[Tensor, "rows groups"]:
    """Correlation of ranks inside each group of each row; 0 where it has less than two items or nothing varies."""
    inside = member.double()
    count = inside.sum(1).clamp(min=1)
    same = inside @ inside.mT

    def centred(values: Tensor) -> Tensor:
        pairs = values[:, :, None] - values[:, None]
        ranks = (same * ((pairs > 0).double() + (pairs == 0) / 2)).sum(-1)
        means = (inside * ranks[..., None]).sum(1) / count
        return inside * (ranks[..., None] - means[:, None])

    one, other = centred(first), centred(second)
    scale = (one.square().sum(1) * other.square().sum(1)).sqrt()
    return (one * other).sum(1) / scale.where(scale > 1e-9, torch.inf)


@torch.no_grad()
def tokens_by_layer(
    model: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    dropped: Bool[Tensor, "batch patches"] | None = None,
) -> Float[Tensor, "layers batch patches dim"]:
    """The patches' tokens before the first block and after each, CLS left out, patches in the order of the image.

    Parameters
    ----------
    model : a `VisionTransformer`, or `Permuted` around one, which sees the images permuted.
    images : as the model takes them.
    dropped : patches that go without their encoding, zero in its place, where encodings are added.
    """
    network, order = model, None
    if isinstance(model, Permuted):
        network, order = model.model, model.permutation
        images = permute_patches(images, order, model.patch_size)
    tokens = network.embed(images)
    if dropped is not None and network.add_encoding:
        dropped = dropped if order is None else dropped[:, order]
        tokens[:, 1:] -= dropped[..., None] * network.pos_embed[:, 1:]
    layers = torch.stack(network.intermediates(tokens).tokens)[:, :, 1:]
    return layers if order is None else layers[:, :, order.argsort()]


def position_accuracy(
    train: Float[Tensor, "images patches dim"],
    test: Float[Tensor, "others patches dim"],
    seen: tuple[Bool[Tensor, "images patches"], Bool[Tensor, "others patches"]] | None = None,
) -> float:
    """Share of the test tokens whose position a linear readout gets right; chance is 1 / patches.

    The readout is linear discriminant analysis, fitted in closed form: tokens of each position are taken as Gaussian
    around a mean of their own, with one covariance for all, and all positions as equally likely.

    Parameters
    ----------
    train : tokens to fit the readout on. test : tokens of other images.
    seen : which tokens count, in training and in testing; all where None.

    Raises
    ------
    ValueError : a position of which no training token counts.
    """
    patches = train.shape[1]
    kept, asked = seen or (each.new_ones(each.shape[:2], dtype=torch.bool) for each in (train, test))
    if missing := int((~kept.any(0)).sum()):
        needed = f"each place in one of {called('train')} = {len(train)} images is needed"
        raise ValueError(f"{called('seen')}: {needed}; {missing} of {patches} are in none")
    means = torch.stack([train[kept[:, place], place].double().mean(0) for place in range(patches)])
    rest = (train.double() - means)[kept]
    covariance = rest.T @ rest / len(rest)
    covariance += 1e-6 * covariance.trace() / len(covariance) * torch.eye(len(covariance)).to(covariance)
    weights = torch.linalg.solve(covariance, means.T)  # (dim, patches)
    offsets = (means * weights.T).sum(-1) / 2
    found = (test.double() @ weights - offsets).argmax(-1)
    right = found == torch.arange(patches, device=found.device)
    return right[asked].double().mean().item()


class Pattern(NamedTuple):
    """Of each layer, what of the tokens' variance over places depends on the place alone.

    share : that of an image without content, as a share of that of images. common : likewise that of the mean over
        images. cosine : between the two, each less its mean over places; 0 where there is no pattern.
    """

    share: Float[Tensor, " layers"]
    common: Float[Tensor, " layers"]
    cosine: Float[Tensor, " layers"]


def fixed_pattern(
    empty: Float[Tensor, "layers patches dim"], tokens: Float[Tensor, "layers images patches dim"]
) -> Pattern:
    """What of the tokens depends on their place alone.

    Parameters
    ----------
    empty : tokens of an image without content. tokens : those of images.

    References
    ----------
    Yang et al., Denoising vision transformers, 2024, who feed a zero image to show it.
    """
    alone, common, own = (
        each - each.mean(-2, keepdim=True)
        for each in (empty.double(), tokens.double().mean(1), tokens.double())
    )
    whole = own.square().sum(-1).mean((-2, -1))
    sizes = [each.square().sum((-2, -1)) for each in (alone, common)]
    cosine = cosine_similarity(alone.flatten(1), common.flatten(1))
    return Pattern(*(size / own.shape[2] / whole for size in sizes), cosine)
