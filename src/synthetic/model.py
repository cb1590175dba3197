"""The paper's one-layer ViT: attention between positions only, one value vector, a polynomial activation."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class PositionalAttentionModel(nn.Module):
    """F(X) = sum_i sigma(D sum_j softmax(A)_ij <v, X_j>), with sigma(x) = x^p + nu x.

    The logits A stand for P^T P, the products of positional encodings: they never see the input.

    Parameters
    ----------
    num_patches, patch_dim : D and d.
    degree : p, odd and >= 3.
    linear_coefficient : nu >= 0, small.
    diagonal : sigma_A; the diagonal of A is held at this value and never trained.
    init_scale : standard deviation of the entries of v and of A off the diagonal at the start.
    generator : source of the initial draw; the model lives on its device.

    Attributes
    ----------
    attention_logits : (D, D) parameter, A.
    value_vector : (d,) parameter, v.
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
    ) -> None:
        super().__init__()
        check_activation(degree, linear_coefficient)
        device = generator.device if generator is not None else "cpu"
        logits = init_scale * torch.randn(
            num_patches, num_patches, generator=generator, device=device, dtype=dtype
        )
        value = init_scale * torch.randn(patch_dim, generator=generator, device=device, dtype=dtype)
        self.degree, self.linear_coefficient, self.diagonal = degree, linear_coefficient, diagonal
        self.attention_logits = nn.Parameter(logits.fill_diagonal_(diagonal))
        self.value_vector = nn.Parameter(value)

    @property
    def attention(self) -> Float[Tensor, "patches patches"]:
        """softmax of the rows of A, its diagonal held: autograd gives the diagonal no gradient either."""
        logits = self.attention_logits
        return logits.masked_fill(self.on_diagonal, self.diagonal).softmax(-1)

    @property
    def on_diagonal(self) -> Bool[Tensor, "patches patches"]:
        """(D, D): True on the diagonal, which is held."""
        return torch.eye(len(self.attention_logits), dtype=torch.bool, device=self.attention_logits.device)

    def forward(self, patches: Float[Tensor, "samples patches dim"]) -> Float[Tensor, " samples"]:
        """(n, D, d) -> (n,): the margin F(X); its sign is the predicted label."""
        expected = (len(self.attention_logits), len(self.value_vector))
        if patches.ndim != 3 or tuple(patches.shape[1:]) != expected:
            raise ValueError(
                f"patches has shape {tuple(patches.shape)}; (n, D, d) = (n, {expected[0]}, {expected[1]}) is needed"
            )
        preactivation = len(self.attention_logits) * (patches @ self.value_vector) @ self.attention.T
        return activation(preactivation, self.degree, self.linear_coefficient).sum(-1)


def activation(x: Tensor, degree: int, linear_coefficient: float) -> Tensor:
    """sigma(x) = x^p + nu x, entry by entry."""
    return x**degree + linear_coefficient * x


def activation_slope(x: Tensor, degree: int, linear_coefficient: float) -> Tensor:
    """sigma'(x) = p x^(p-1) + nu, entry by entry."""
    return degree * x ** (degree - 1) + linear_coefficient


def check_activation(degree: int, linear_coefficient: float) -> None:
    """Raise ValueError unless the degree is odd and >= 3 and the linear coefficient is not negative."""
    if degree < 3 or degree % 2 == 0:
        raise ValueError(
            f"degree = {degree}: an odd integer >= 3 is needed; the nearest: {max(3, degree + 1)}"
        )
    if linear_coefficient < 0:
        raise ValueError(f"linear_coefficient = {linear_coefficient} is negative; the nearest allowed: 0.0")
