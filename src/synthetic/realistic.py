"""The realistic process: plain gradient descent on the empirical logistic risk, every entry free."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from src.common.graphs import CudaGraphs, Recorded
from src.common.shapes import Float
from src.synthetic.divergence import DivergenceError, check_descent, divergence_message
from src.synthetic.gradient import fast_bytes, loss_and_gradient
from src.synthetic.model import PositionalAttentionModel

CHECK_EVERY = 10  # steps from one look whether any run is left to the next: a look waits for the accelerator
RECORD_FROM = 500  # steps from which on recording one as a CUDA graph should pay: estimated, not measured


@dataclass(frozen=True)
class Trajectory:
    """What a descent passed through, at its recorded steps (t of them).

    step : (t,) iteration; loss, accuracy : (t,) on the training sample *before* that iteration's update;
    attention_logits : (t, D, D) and value_vector : (t, d), likewise; divergence : empty, or where and why it ended.
    """

    step: list[int]
    loss: Float[Tensor, " t"]
    accuracy: Float[Tensor, " t"]
    attention_logits: Float[Tensor, "t patches patches"]
    value_vector: Float[Tensor, "t dim"]
    divergence: str = ""

    def thinned(self, every: int, also: int = 0) -> "Trajectory":
        """The first `every` steps, then each that `every` divides, one more, and the last: even on a log axis."""
        kept = [
            index
            for index, step in enumerate(self.step)
            if step < every or step % every == 0 or step in (also, self.step[-1])
        ]
        curves = (self.loss, self.accuracy, self.attention_logits, self.value_vector)
        return Trajectory([self.step[i] for i in kept], *(each[kept] for each in curves), self.divergence)


@dataclass(frozen=True)
class Run:
    """One of many descents: the model that it trains in place, its sample, and its step sizes.

    patches, label : (n, D, d) and (n,) in {-1, +1}, on the model's device and in its dtype; n may differ by run.
    lr_value, lr_attention : >= 0, for v and for each off-diagonal entry of A; 0 keeps it as it is.
    max_move : > 0, largest change of one logit of A in one iteration: a larger update is shortened, its direction
        kept. The paper's descent is plain, without such a cap.
    """

    model: PositionalAttentionModel
    patches: Float[Tensor, "samples patches dim"]
    label: Float[Tensor, " samples"]
    lr_value: float
    lr_attention: float
    max_move: float = inf


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
    run = Run(model, patches, label, lr_value, lr_attention)
    return check_finite(many_descents([run], steps=steps, record_every=record_every))[0]


@torch.no_grad()
def many_descents(
    runs: Sequence[Run], *, steps: int, record_every: int = 1, path: str = "auto"
) -> list[Trajectory]:
    """Train the models of independent runs in place, `steps` full-batch iterations each, as many at once as pays.

    Every run goes the way that it would go alone. One that diverges is frozen there, and its trajectory's
    `divergence` says where; the others go on.

    Parameters
    ----------
    steps, record_every : as in `gradient_descent`.
    path : as in `loss_and_gradient`. A GPU takes recorded steps by "auto" alone, else operation by operation.

    Raises
    ------
    ValueError : as `gradient_descent`; a cap that is not positive; settings or shapes of models that differ.
    """
    for run in runs:
        check_descent(steps, run.lr_value, run.lr_attention, record_every, run.max_move)
        run.model.check_patches(run.patches)
    # Like beside like: samples of one size need no padding, and kept attention needs no gradient.
    order = sorted(range(len(runs)), key=lambda i: (runs[i].lr_attention > 0, len(runs[i].label)))
    trajectories = {}
    for chunk in _chunks(order, runs):
        trajectories |= zip(chunk, _descend([runs[i] for i in chunk], steps, record_every, path), strict=True)
    return [trajectories[i] for i in range(len(runs))]


@torch.no_grad()
def _chunks(order: list[int], runs: Sequence[Run]) -> Iterator[list[int]]:
    """Runs whose patches, padded to one size, fit together where they are computed; at least one at a time."""
    chunk, widest = [], 0
    for i in order:
        patches = runs[i].patches
        widest = max(widest, patches.nbytes)
        if chunk and (len(chunk) + 1) * widest > fast_bytes(patches.device):
            yield chunk
            chunk, widest = [], patches.nbytes
        chunk.append(i)
    if chunk:
        yield chunk


def _descend(runs: list[Run], steps: int, record_every: int, path: str) -> list[Trajectory]:
    """All runs in step. Nothing waits for the device but a look, once in CHECK_EVERY steps, whether any is left."""
    model = PositionalAttentionModel.stack([run.model for run in runs])
    patches, label, weight = _stack_samples(runs)
    rate_value = label.new_tensor([[run.lr_value] for run in runs])
    rate_attention = label.new_tensor([[[run.lr_attention]] for run in runs])
    max_move = label.new_tensor([[[run.max_move]] for run in runs])
    with_attention = any(run.lr_attention > 0 for run in runs)
    finite_steps = torch.zeros(len(runs), dtype=torch.long, device=label.device)

    def take_step() -> Float[Tensor, "2 runs"]:
        """Loss and accuracy, then the update. A run that has diverged is frozen: its rates are 0 from here on."""
        loss, accuracy, grad_value, grad_attention = loss_and_gradient(
            model, patches, label, weight=weight, with_attention=with_attention, path=path
        )
        finite = loss.isfinite()
        finite_steps.add_(finite)
        rate_value.mul_(finite[:, None])
        model.value_vector.addcmul_(rate_value, grad_value.nan_to_num_(), value=-1)  # 0 times a finite number
        if with_attention:
            rate_attention.mul_(finite[:, None, None])
            rate = _capped(rate_attention, grad_attention.nan_to_num_(), max_move)
            model.attention_logits.addcmul_(rate, grad_attention, value=-1)
        return torch.stack([loss, accuracy])

    if path == "auto" and worth_recording(label.device, steps):
        take_step = Recorded(take_step, CudaGraphs())
    recorded = []
    for step in range(steps + 1):
        kept = step % record_every == 0 or step == steps
        logits, value = model.attention_logits.detach(), model.value_vector.detach()
        state = (logits.clone(), value.clone()) if kept else None
        measured = take_step()
        over = step % CHECK_EVERY == 0 and not measured[0].isfinite().any()
        if kept or over:
            # Where all runs are frozen, the state is still that from before the step.
            state = state or (logits, value)
            recorded.append((step, *measured.clone(), *state))
        if over:
            break
    return _collect(runs, recorded, finite_steps.tolist())


def worth_recording(device: torch.device, steps: int) -> bool:
    """Whether a step is launched as one CUDA graph; it is dozens of small operations beside a read of the patches."""
    return device.type == "cuda" and steps >= RECORD_FROM


def _capped(
    rate: Float[Tensor, "runs 1 1"],
    gradient: Float[Tensor, "runs patches patches"],
    max_move: Float[Tensor, "runs 1 1"],
) -> Float[Tensor, "runs 1 1"]:
    """The rate, lowered where it would move a logit by more than `max_move`."""
    largest = rate * gradient.abs().amax((-2, -1), keepdim=True)
    return rate * (max_move / largest).clamp(max=1)


def _stack_samples(runs: list[Run]) -> tuple[Tensor, Tensor, Tensor]:
    """(R, n, D, d), (R, n), and weights (R, n): 1 / size, and 0 for padding. A single run's patches are not copied."""
    if len(runs) == 1:
        patches, label = runs[0].patches[None], runs[0].label[None]
    else:
        patches = pad_sequence([run.patches for run in runs], batch_first=True)
        label = pad_sequence([run.label for run in runs], batch_first=True)
    sizes = torch.tensor([[len(run.label)] for run in runs], device=label.device)
    inside = torch.arange(label.shape[1], device=label.device) < sizes
    return patches, label, inside.to(label.dtype) / sizes


def check_finite(trajectories: list[Trajectory]) -> list[Trajectory]:
    """The trajectories, if none diverged; DivergenceError for the first that did."""
    for trajectory in trajectories:
        if trajectory.divergence:
            raise DivergenceError(trajectory.divergence, trajectory)
    return trajectories


def _collect(runs: list[Run], recorded: list[tuple], finite_steps: list[int]) -> list[Trajectory]:
    """Each run's own trajectory, up to its divergence where it has one; and its model set to its last state."""
    steps, *tensors = zip(*recorded, strict=True)
    by_run = zip(*(torch.stack(tensor, dim=1) for tensor in tensors), strict=True)
    trajectories = []
    for run, last, curves in zip(runs, finite_steps, by_run, strict=True):
        # Frozen runs repeat their last state: the first repetition stands for the step at which it was reached.
        kept = [*(step for step in steps if step < last), *([last] if last <= steps[-1] else [])]
        loss, accuracy, logits, value = (curve[: len(kept)] for curve in curves)
        run.model.attention_logits.copy_(logits[-1])
        run.model.value_vector.copy_(value[-1])
        divergence = ""
        if last <= steps[-1]:
            divergence = divergence_message(loss[-1].item(), last, run.lr_value, run.lr_attention)
        trajectories.append(Trajectory(kept, loss, accuracy, logits, value, divergence))
    return trajectories
