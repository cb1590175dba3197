"""One seed per run; every random stream derives from it by name."""

import hashlib

import torch


def child_generator(seed: int, *name: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Random stream of `name` under `seed`: the same pair gives the same stream, different names independent ones.

    Parameters
    ----------
    seed : the run's one seed, an integer >= 0.
    name : what the stream is for, e.g. ``"pretraining", 2``.
    device : where the draws are made; CPU and CUDA streams differ.
    """
    text = "/".join(map(str, (seed, *name)))
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def child_seed(seed: int, *name: str | int) -> int:
    """The same stream's seed, below 2**31, for what takes an integer."""
    return child_generator(seed, *name).initial_seed() % 2**31
