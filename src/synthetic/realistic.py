"""The realistic process: plain gradient descent on the empirical logistic risk, every entry free."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from src.synthetic.model import PositionalAttentionModel, activation, activation_slope


@dataclass(frozen=True)
class Trajectory:
    """What a descent passed through, at its recorded steps (t of them).

    step : (t,) iteration; loss, accuracy : (t,) on the training sample *before* that iteration's update;
    attention_logits : (t, D, D) and value_vector : (t, d), likewise.
    """

    step: list[int]
    loss: Float[Tensor, " t"]
    accuracy: Float[Tensor, " t"]
    attention_logits: Float[Tensor, "t patches patches"]
    value_vector: Float[Tensor, "t dim"]


class DivergenceError(ArithmeticError):
    """The loss left the finite numbers. `trajectory` holds what was recorded up to there."""

    def __init__(self, message: str, trajectory: object) -> None:
        super().__init__(message)
        self.trajectory = trajectory


@torch.no_grad()
def gradient_descent(
    model: PositionalAttentionModel,
    patches: Float[Tensor, "samples patches dim"],
    label: Float[Tensor, " samples"],
    *,
    steps: int,
    lr_value: float,
    lr_attention: float,
    record_every: int = 1,
) -> Trajectory:
    """Train `model` in place for `steps` full-batch iterations, by the closed-form gradient.

    Parameters
    ----------
    patches, label : (n, D, d) and (n,) in {-1, +1}, on the model's device and in its dtype.
    steps : iterations, >= 1. The state is recorded every `record_every` iterations and after the last.
    lr_value, lr_attention : step sizes >= 0 for v and for each off-diagonal entry of A; 0 keeps it as it is.

    Raises
    ------
    ValueError : negative steps or step sizes, shapes that do not fit the model.
    DivergenceError : at the first non-finite loss; names the step and both step sizes, keeps the trajectory.
    """
    check_descent(steps, lr_value, lr_attention, record_every)
    recorded = []
    for step in range(steps + 1):
        loss, accuracy, grad_value, grad_attention = loss_and_gradient(
            model, patches, label, with_attention=lr_attention > 0
        )
        if step % record_every == 0 or step == steps or not loss.isfinite():
            state = (model.attention_logits.detach().clone(), model.value_vector.detach().clone())
            recorded.append((step, loss, accuracy, *state))
        if not loss.isfinite():
            raise DivergenceError(
                divergence_message(loss.item(), step, lr_value, lr_attention), _collect(recorded)
            )
        if step < steps:
            model.value_vector -= lr_value * grad_value
            if lr_attention > 0:
                model.attention_logits -= lr_attention * grad_attention
    return _collect(recorded)


def loss_and_gradient(
    model: PositionalAttentionModel,
    patches: Float[Tensor, "samples patches dim"],
    label: Float[Tensor, " samples"],
    *,
    with_attention: bool = True,
) -> tuple[Tensor, Tensor, Float[Tensor, " dim"], Float[Tensor, "patches patches"] | None]:
    """Loss, accuracy and the two gradients at once; the patches are read twice and nothing their size is made.

    Notes
    -----
    With u = X v, z = D u S^T and F = sum_i sigma(z_i), the chain rule gives, per sample,
    dF/du = D S^T sigma'(z), dF/dv = X^T dF/du, dF/dS = D sigma'(z) u^T; and through the softmax of a row,
    dF/dA_i = S_i * (dF/dS_i - <dF/dS_i, S_i>). The loss log(1 + exp(-y F)) has slope -y sigmoid(-y F).
    """
    n, num_patches, patch_dim = patches.shape
    attention = model.attention
    projected = patches @ model.value_vector
    preactivation = num_patches * projected @ attention.T
    margin = label * activation(preactivation, model.degree, model.linear_coefficient).sum(-1)
    loss, accuracy = softplus(-margin).mean(), (margin > 0).to(margin.dtype).mean()

    slope = -label * torch.sigmoid(-margin) / n
    upstream = (
        slope[:, None] * num_patches * activation_slope(preactivation, model.degree, model.linear_coefficient)
    )
    grad_value = (upstream @ attention).reshape(-1) @ patches.reshape(-1, patch_dim)
    if not with_attention:
        return loss, accuracy, grad_value, None
    grad_softmax = upstream.T @ projected
    grad_attention = attention * (grad_softmax - (grad_softmax * attention).sum(-1, keepdim=True))
    return loss, accuracy, grad_value, grad_attention.masked_fill_(model.on_diagonal, 0)


def check_descent(steps: int, lr_value: float, lr_attention: float, record_every: int = 1) -> None:
    """Raise ValueError for step counts below 1 and negative step sizes."""
    for name, count in (("steps", steps), ("record_every", record_every)):
        if count < 1:
            raise ValueError(f"{name} = {count}: an integer >= 1 is needed; the nearest: 1")
    for name, rate in (("lr_value", lr_value), ("lr_attention", lr_attention)):
        if not rate >= 0:
            raise ValueError(f"{name} = {rate}: a step size >= 0 is needed; the nearest: 0.0")


def divergence_message(loss: float, step: int, lr_value: float, lr_attention: float) -> str:
    return (
        f"the loss became {loss} at step {step} with lr_value = {lr_value:g} and lr_attention = {lr_attention:g}; "
        "smaller steps are needed, a third of each is a good try"
    )


def _collect(recorded: list[tuple]) -> Trajectory:
    step, *tensors = zip(*recorded, strict=True)
    return Trajectory(list(step), *(torch.stack(tensor) for tensor in tensors))
