"""Claim `sequential-encoding`: SeqPE's contrastive loss alone, on a small grid; do its encodings reach a larger one?"""

import numpy as np
import torch
from torch import Tensor, nn

from src.common.device import pick_device
from src.common.seeding import child_generator
from src.common.shapes import Float
from src.experiments.measured import Measured
from src.experiments.study_settings import SequentialSettings
from src.vision.probes import cosines
from src.vision.sequential import EncodingTable, SequentialEncoder, contrastive_loss, square
from src.vision.spatial_probes import undirected_monotonicity

# Which encoder, and which places it sees in training: the small grid; the small grid shifted at random within the
# large one, so that every digit is seen but no distance beyond the small grid's; the whole large one.
ARMS = {
    "decimal": (10, "small"),
    "binary": (2, "small"),
    "windows": (10, "shifted"),
    "whole": (10, "whole"),
    "table": (0, "small"),
}


def run(settings: SequentialSettings) -> Measured:
    """Source: Li et al., SeqPE, 2025. Cost: ten minutes on one core at ten seeds and 500 steps.

    Expected, before any look: M_U is at least 1.9 on the places that were trained; the digits carry it to the large
    grid (1.749 or more), from the small one and from windows of its size; a table, which has nothing to carry, stays
    near chance there. Seen on seed 1000 before the record: the first holds for digits, of the second nothing does.
    """
    metrics: dict[str, list[float]] = {}
    arrays: dict[str, object] = {}
    small, large = square(settings.side), square(settings.large_side)
    for arm in ARMS:
        encoders = [_train(arm, index, settings) for index in range(settings.num_seeds)]
        maps = [[_similarity(encoder, places) for places in (small, large)] for encoder in encoders]
        metrics[f"m_u_small_{arm}"] = [_undirected(pair[0]) for pair in maps]
        metrics[f"m_u_large_{arm}"] = [_undirected(pair[1]) for pair in maps]
        corner = settings.side // 2 * (settings.large_side + 1)  # the middle of the small grid
        arrays[f"similarity_{arm}"] = maps[0][1][corner].reshape((settings.large_side,) * 2)
    return Measured(metrics, arrays)


def _train(arm: str, index: int, settings: SequentialSettings) -> nn.Module:
    """One encoder, trained by the contrastive loss alone."""
    base, seen = ARMS[arm]
    device, draw = pick_device(settings.device), child_generator(settings.seed, "sequential", arm, index)
    encoder = _new_encoder(base, settings, draw).to(device)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=settings.learning_rate)
    for _ in range(settings.steps):
        places = _seen_places(seen, settings, draw)
        pivots = torch.randint(len(places), (settings.pivots,), generator=draw)
        others = torch.randint(1, len(places), (settings.pivots, settings.candidates), generator=draw)
        candidates = (pivots[:, None] + others) % len(places)  # any but the pivot itself
        places, pivots, candidates = (each.to(device) for each in (places, pivots, candidates))
        loss = contrastive_loss(encoder(places), places, pivots, candidates)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if not loss.isfinite():
        raise ArithmeticError(f"{arm}: the loss became {loss.item()}; a lower learning_rate is needed")
    return encoder


def _new_encoder(base: int, settings: SequentialSettings, draw: torch.Generator) -> nn.Module:
    """Initialized as PyTorch does, from the stream's next number."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=draw)))
        if not base:
            return EncodingTable(settings.large_side, settings.embed_dim)
        num_digits = len(np.base_repr(settings.large_side - 1, base))
        return SequentialEncoder(base, num_digits, settings.embed_dim, settings.depth, settings.num_heads)


def _seen_places(seen: str, settings: SequentialSettings, draw: torch.Generator) -> Tensor:
    if seen == "whole":
        return square(settings.large_side)
    room = settings.large_side - settings.side
    shift = torch.randint(room + 1, (2,), generator=draw).tolist() if seen == "shifted" else (0, 0)
    return square(settings.side, tuple(shift))


@torch.no_grad()
def _similarity(encoder: nn.Module, places: Tensor) -> Float[Tensor, "places places"]:
    """Cosine similarities of all pairs of places."""
    return cosines(encoder(places.to(next(encoder.parameters()).device)).cpu())


def _undirected(similarity: Float[Tensor, "places places"]) -> float:
    """LOOPE's M_U on a square grid."""
    side = round(len(similarity) ** 0.5)
    return undirected_monotonicity(similarity, (side, side))
