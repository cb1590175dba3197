"""Algorithms on lists of numbers, and transformers whose attention sees the tokens or their positions only.

After De Luca et al., "Positional Attention": four layers without residuals or normalization; each gives a token and
what it attends to, side by side, to a perceptron. Networks of one shape are trained side by side.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from src.common.shapes import Float


def prefix_median(numbers: Float[torch.Tensor, "samples n"]) -> Float[torch.Tensor, "samples n"]:
    """Median of every prefix; of an even count, midway between the two in the middle."""
    medians = []
    for count in range(1, numbers.shape[1] + 1):
        ascending = numbers[:, :count].sort(dim=1).values
        medians.append((ascending[:, (count - 1) // 2] + ascending[:, count // 2]) / 2)
    return torch.stack(medians, dim=1)


def prefix_maximum_subarray(numbers: Float[torch.Tensor, "samples n"]) -> Float[torch.Tensor, "samples n"]:
    """Largest sum of neighbours in every prefix, one number at least: a sum less the lowest sum before it."""
    sums = numbers.cumsum(1)
    lowest = torch.cat([torch.zeros_like(sums[:, :1]), sums[:, :-1]], dim=1).cummin(1).values
    return (sums - lowest).cummax(1).values


TASKS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sum": lambda numbers: numbers.cumsum(1),
    "min": lambda numbers: numbers.cummin(1).values,
    "median": prefix_median,
    "sort": lambda numbers: numbers.sort(dim=1).values,
    "subarray": prefix_maximum_subarray,
}


def draw_numbers(
    samples: int, n: int, reach: float, *, outside: float = 0.0, generator: torch.Generator
) -> Float[torch.Tensor, "samples n"]:
    """Lists of n numbers, each list uniform between two ends of its own, which are uniform in [-reach, reach].

    outside : at least one end of each list lies beyond it, |end| > outside; below `reach`.
    """
    if not 0 <= outside < reach:
        raise ValueError(f"outside = {outside} is not in [0, reach = {reach})")
    options = {"generator": generator, "device": generator.device}
    ends = reach * (2 * torch.rand(samples, 2, **options) - 1)
    while (inside := (ends.abs() <= outside).all(1)).any():
        ends[inside] = reach * (2 * torch.rand(int(inside.sum()), 2, **options) - 1)
    low, high = ends.amin(1, keepdim=True), ends.amax(1, keepdim=True)
    return low + (high - low) * torch.rand(samples, n, **options)


class Linear(nn.Module):
    """One linear map a network, for networks side by side; torch's draw, or for attention Glorot's without bias."""

    def __init__(
        self, inputs: int, outputs: int, generators: Sequence[torch.Generator], *, glorot: bool = False
    ) -> None:
        super().__init__()
        bound = math.sqrt(6 / (inputs + outputs) if glorot else 1 / inputs)
        self.weight, self.bias = (
            nn.Parameter(torch.stack([_uniform(shape, size, each) for each in generators]))
            for shape, size in (((inputs, outputs), bound), ((1, outputs), 0.0 if glorot else bound))
        )

    def forward(self, x: Float[torch.Tensor, "nets samples tokens inputs"]) -> torch.Tensor:
        """(nets, samples, tokens, outputs)."""
        return torch.baddbmm(self.bias, x.flatten(1, 2), self.weight).unflatten(1, x.shape[1:3])


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> torch.Tensor:
    return bound * (2 * torch.rand(shape, generator=generator, device=generator.device) - 1)


@dataclass(frozen=True)
class Shape:
    """Of a network: numbers in a list, layers, width, heads; `positional` attention or that of the tokens."""

    n: int
    depth: int
    width: int
    heads: int
    positional: bool

    @property
    def tokens(self) -> int:
        """The numbers, and one token more to compute with, as in the source."""
        return self.n + 1


class Layer(nn.Module):
    """Attention, then a perceptron of the token beside what it attends to."""

    def __init__(self, shape: Shape, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        width, self.heads, self.positional = shape.width, shape.heads, shape.positional
        seen = shape.tokens if shape.positional else width  # features of what queries and keys are made of
        self.query, self.key = (Linear(seen, shape.heads * seen, generators, glorot=True) for _ in range(2))
        self.value, self.out = (Linear(width, width, generators, glorot=True) for _ in range(2))
        self.hidden, self.last = Linear(2 * width, width, generators), Linear(width, width, generators)

    def forward(self, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """x : (nets, samples, tokens, width). positions : (nets, 1, tokens, tokens), one-hot."""
        seen = positions if self.positional else x
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(2, 3)
            for part in (self.query(seen), self.key(seen), self.value(x))
        )
        attention = (query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1)
        attended = self.out((attention @ value).transpose(2, 3).flatten(3))
        return self.last(self.hidden(torch.cat([x, attended], dim=-1)).relu())


class Transformers(nn.Module):
    """Networks side by side, one for each generator, that give a number for every number of a list."""

    def __init__(self, shape: Shape, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.shape = shape
        # tokens carry their positions where nothing else does
        inputs = 1 if shape.positional else 1 + shape.tokens
        self.encode, self.decode = Linear(inputs, shape.width, generators), Linear(shape.width, 1, generators)
        self.layers = nn.ModuleList(Layer(shape, generators) for _ in range(shape.depth))

    def forward(
        self, numbers: Float[torch.Tensor, "nets samples n"]
    ) -> Float[torch.Tensor, "nets samples n"]:
        nets, samples, n = numbers.shape
        x = nn.functional.pad(numbers, (0, 1))[..., None]
        positions = torch.eye(n + 1, device=x.device).expand(nets, 1, -1, -1)
        if not self.shape.positional:
            x = torch.cat([x, positions.expand(-1, samples, -1, -1)], dim=-1)
        x = self.encode(x)
        for layer in self.layers:
            x = layer(x, positions)
        return self.decode(x)[:, :, :n, 0]


def train(
    nets: Transformers,
    numbers: Float[torch.Tensor, "nets samples n"],
    targets: Float[torch.Tensor, "nets samples n"],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    generator: torch.Generator,
) -> list[float]:
    """Adam on the mean square error; its rate falls to zero as a half cosine. Losses, mean of all networks."""
    optimizer = torch.optim.Adam(nets.parameters(), learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    for _ in range(steps):
        batch = torch.randint(numbers.shape[1], (batch_size,), generator=generator, device=generator.device)
        loss = (nets(numbers[:, batch]) - targets[:, batch]).square().mean((1, 2))
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach().mean())
    return torch.stack(losses).tolist()
