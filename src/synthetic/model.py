"""The paper's one-layer ViT: attention between positions only, one value vector, a polynomial activation."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from src.common.choices import refusal
from src.common.shapes import Bool, Float


class PositionalAttentionModel(nn.Module):
    """Equation (T): F(X) = sum_i sigma(D sum_j softmax(A / sqrt(d))_ij <v, X_j>), with sigma(x) = x^p + nu x.

    A stands for P^T P, the products of positional encodings: it never sees the input. Its entries are free here.

    Parameters
    ----------
    num_patches, patch_dim : D and d.
    degree : p, odd and >= 3.
    linear_coefficient : nu >= 0, small.
    diagonal : the value at which the diagonal of the logits is held, sigma_A / sqrt(d); never trained.
    init_scale : standard deviation of the entries of v at the start, and of the logits off the diagonal.
    init_scale_attention : the latter alone, where it differs.
    generator : source of the initial draw; the model lives on its device.

    Attributes
    ----------
    attention_logits : (D, D) parameter, A / sqrt(d): what the softmax is given.
    value_vector : (d,) parameter, v.

    Notes
    -----
    Several models side by side (`stack`) have parameters (R, D, D) and (R, d): everything below, and the gradient,
    then works on all runs at once.
    """

    def __init__(
        self,
        num_patches: int,
        patch_dim: int,
        degree: int = 3,
        linear_coefficient: float = 0.03,
        diagonal: float = 1.0,
        init_scale: float = 1e-3,
        generator: torch.Generator | None = None,
        *,
        dtype: torch.dtype | None = None,
        init_scale_attention: float | None = None,
    ) -> None:
        super().__init__()
        check_activation(degree, linear_coefficient)
        scale = init_scale if init_scale_attention is None else init_scale_attention
        device = generator.device if generator is not None else "cpu"
        logits = scale * torch.randn(
            num_patches, num_patches, generator=generator, device=device, dtype=dtype
        )
        value = init_scale * torch.randn(patch_dim, generator=generator, device=device, dtype=dtype)
        self.degree, self.linear_coefficient, self.diagonal = degree, linear_coefficient, diagonal
        self.attention_logits = nn.Parameter(logits.fill_diagonal_(diagonal))
        self.value_vector = nn.Parameter(value)

    @classmethod
    def stack(cls, models: Sequence["PositionalAttentionModel"]) -> "PositionalAttentionModel":
        """Copies of R models as one with a leading dimension; they must agree in everything but their parameters."""
        for name in ("degree", "linear_coefficient", "diagonal"):
            values = {getattr(model, name) for model in models}
            if len(values) > 1:
                raise ValueError(f"{name} = {sorted(values)}: one value for all models of a stack is needed")
        return models[0].with_parameters(
            torch.stack([model.attention_logits.detach() for model in models]),
            torch.stack([model.value_vector.detach() for model in models]),
        )

    def with_parameters(
        self,
        attention_logits: Float[Tensor, "*runs patches patches"],
        value_vector: Float[Tensor, "*runs dim"],
    ) -> "PositionalAttentionModel":
        """The same settings with other parameters, which may have leading dimensions."""
        model = deepcopy(self)
        model.attention_logits = nn.Parameter(attention_logits)
        model.value_vector = nn.Parameter(value_vector)
        return model

    @property
    def attention(self) -> Float[Tensor, "*runs patches patches"]:
        """softmax of the rows of the logits, their diagonal held: autograd gives the diagonal no gradient either."""
        logits = self.attention_logits
        return logits.masked_fill(self.on_diagonal, self.diagonal).softmax(-1)

    @property
    def on_diagonal(self) -> Bool[Tensor, "patches patches"]:
        """(D, D): True on the diagonal, which is held."""
        num_patches = self.attention_logits.shape[-1]
        return torch.eye(num_patches, dtype=torch.bool, device=self.attention_logits.device)

    def forward(self, patches: Float[Tensor, "... samples patches dim"]) -> Float[Tensor, "... samples"]:
        """(n, D, d) -> (n,): the margin F(X); its sign is the predicted label. R models share or split the samples."""
        self.check_patches(patches)
        num_patches = patches.shape[-2]
        preactivation = project(patches, self.value_vector) @ (num_patches * self.attention).mT
        return activation(preactivation, self.degree, self.linear_coefficient).sum(-1)

    def check_patches(self, patches: Tensor) -> None:
        """Raise ValueError unless the model can read them: (n, D, d), after the model's leading dimensions or none."""
        runs = tuple(self.value_vector.shape[:-1])
        expected = (self.attention_logits.shape[-1], self.value_vector.shape[-1])
        if tuple(patches.shape[:-3]) not in ((), runs) or tuple(patches.shape[-2:]) != expected:
            needed = ", ".join(map(str, (*runs, "n", *expected)))
            raise ValueError(f"patches has shape {tuple(patches.shape)}; (n, D, d) = ({needed}) is needed")


def project(
    patches: Float[Tensor, "*#runs samples patches dim"], value_vector: Float[Tensor, "*#runs dim"]
) -> Float[Tensor, "... samples patches"]:
    """u = X v."""
    if value_vector.numel() == patches.shape[-1]:  # one vector: the fastest product
        return patches @ value_vector.flatten()
    # Rows times matrices: a batch of matrices times columns is eight times slower on the CPU.
    row = value_vector.unsqueeze(-2) @ patches.flatten(-3, -2).mT
    return row.squeeze(-2).unflatten(-1, patches.shape[-3:-1])


def project_back(
    coefficient: Float[Tensor, "*runs samples patches"], patches: Float[Tensor, "*runs samples patches dim"]
) -> Float[Tensor, "*runs dim"]:
    """X^T c, summed over samples: what the gradient along u = X v becomes along v."""
    if coefficient.shape[:-2].numel() == 1:
        return (coefficient.flatten() @ patches.flatten(0, -2)).view(*patches.shape[:-3], -1)
    return (coefficient.flatten(-2).unsqueeze(-2) @ patches.flatten(-3, -2)).squeeze(-2)


def activation(x: Tensor, degree: int, linear_coefficient: float) -> Tensor:
    """sigma(x) = x^p + nu x, entry by entry."""
    return x**degree + linear_coefficient * x


def activation_slope(x: Tensor, degree: int, linear_coefficient: float) -> Tensor:
    """sigma'(x) = p x^(p-1) + nu, entry by entry."""
    return degree * x ** (degree - 1) + linear_coefficient


def activation_and_slope(x: Tensor, degree: int, linear_coefficient: float) -> tuple[Tensor, Tensor]:
    """sigma(x) and sigma'(x) from one power; products, since a general power costs ten times as much."""
    even = x.square()  # becomes x^(p - 1)
    if degree > 3:
        even = even ** ((degree - 1) // 2)
    return (even + linear_coefficient).mul_(x), even.mul_(degree).add_(linear_coefficient)


def check_activation(degree: int, linear_coefficient: float) -> None:
    """Raise ValueError unless the degree is odd and >= 3 and the linear coefficient is not negative."""
    if degree < 3 or degree % 2 == 0:
        raise ValueError(refusal("degree", degree, "an odd integer >= 3", max(3, degree + 1)))
    if linear_coefficient < 0:
        raise ValueError(refusal("linear_coefficient", linear_coefficient, "a number >= 0", 0.0))
