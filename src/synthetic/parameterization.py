"""What the attention logits are made of: free entries, symmetric ones, or products P^T P; and their descent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from src.common.choices import one_of
from src.common.shapes import Float
from src.synthetic.model import activation, project

KINDS = ("free", "symmetric", "gram")
OPTIMIZERS = ("gradient_descent", "adam")


@dataclass(frozen=True)
class Parameterization:
    """How the logits A come from the parameters that are trained.

    kind : "free", every entry by itself; "symmetric", the mean of a free matrix and its transpose; "gram", A = P^T P.
    rank : rows of P, for "gram" alone.
    diagonal : sigma_A, at which the diagonal is held; with "gram" it is the encodings' squared norm at the start, on
        average, and trained as the rest is: a product P^T P has no diagonal of its own to hold.
    init_scale : standard deviation of the free entries off the diagonal at the start, so that "symmetric" has it over
        the root of 2; "gram" does not ask for it.
    """

    kind: Literal["free", "symmetric", "gram"]
    rank: int = 0
    diagonal: float = 1.0
    init_scale: float = 1e-3

    def __post_init__(self) -> None:
        one_of("kind", self.kind, KINDS)
        if self.kind == "gram" and self.rank < 1:
            raise ValueError(f"rank = {self.rank}: an integer >= 1 is needed for P^T P; the nearest: 1")

    def start(self, num_patches: int, *, generator: torch.Generator) -> Float[Tensor, "rows patches"]:
        """The parameters at the start: (D, D), or P, (rank, D), with encodings of mean squared norm `diagonal`."""
        rows = self.rank if self.kind == "gram" else num_patches
        scale = (self.diagonal / self.rank) ** 0.5 if self.kind == "gram" else self.init_scale
        return scale * torch.randn(rows, num_patches, generator=generator, device=generator.device)

    def logits(
        self, parameter: Float[Tensor, "*runs rows patches"]
    ) -> Float[Tensor, "*runs patches patches"]:
        """A, from the parameters."""
        if self.kind == "gram":
            return parameter.mT @ parameter
        if self.kind == "symmetric":
            parameter = (parameter + parameter.mT) / 2
        own = torch.eye(parameter.shape[-1], dtype=torch.bool, device=parameter.device)
        return parameter.masked_fill(own, self.diagonal)


@dataclass(frozen=True)
class States:
    """What R descents passed through at the t recorded steps; the loss is the training loss."""

    attention_logits: Float[Tensor, "t runs patches patches"]
    value_vector: Float[Tensor, "t runs dim"]
    loss: Float[Tensor, "t runs"]


def margin(
    patches: Float[Tensor, "*runs samples patches dim"],
    attention_logits: Float[Tensor, "*runs patches patches"],
    value_vector: Float[Tensor, "*runs dim"],
    *,
    degree: int,
    linear_coefficient: float,
) -> Float[Tensor, "*runs samples"]:
    """F(X) of the one-layer model, as in `PositionalAttentionModel`, for logits that may come from anywhere."""
    attention = patches.shape[-2] * attention_logits.softmax(-1)
    return activation(project(patches, value_vector) @ attention.mT, degree, linear_coefficient).sum(-1)


@dataclass(frozen=True)
class Optimizer:
    """Full-batch "gradient_descent" or "adam", with a step size for v and one for the parameters of A."""

    name: Literal["gradient_descent", "adam"]
    lr_value: float
    lr_attention: float

    def __post_init__(self) -> None:
        one_of("name", self.name, OPTIMIZERS)

    def descend(
        self,
        parameterization: Parameterization,
        patches: Float[Tensor, "runs samples patches dim"],
        label: Float[Tensor, "runs samples"],
        *,
        steps: Sequence[int],
        generators: Sequence[torch.Generator],
        degree: int = 3,
        linear_coefficient: float = 0.03,
    ) -> States:
        """Train R models side by side on the empirical logistic risk, by autograd; the states at the ascending `steps`.

        generators : one for each run, from which its start is drawn.
        """
        num_patches, patch_dim = patches.shape[-2:]
        starts = [
            (
                parameterization.start(num_patches, generator=each),
                parameterization.init_scale * torch.randn(patch_dim, generator=each, device=each.device),
            )
            for each in generators
        ]
        parameter, value = (torch.stack(each).requires_grad_() for each in zip(*starts, strict=True))
        update = self._over(value, parameter)
        states = []
        for step in range(steps[-1] + 1):
            logits = parameterization.logits(parameter)
            output = margin(patches, logits, value, degree=degree, linear_coefficient=linear_coefficient)
            loss = softplus(-label * output).mean(-1)
            if step in steps:
                states.append([each.detach().clone() for each in (logits, value, loss)])
            update.zero_grad()
            loss.sum().backward()  # the runs share no parameter: each gets its own gradient
            update.step()
        return States(*(torch.stack(each) for each in zip(*states, strict=True)))

    def _over(self, value: Tensor, parameter: Tensor) -> torch.optim.Optimizer:
        groups = [{"params": [value], "lr": self.lr_value}, {"params": [parameter], "lr": self.lr_attention}]
        return torch.optim.Adam(groups) if self.name == "adam" else torch.optim.SGD(groups, lr=self.lr_value)
