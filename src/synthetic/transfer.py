"""Transfer: keep the attention, learn a new feature from few samples."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import count

import torch
from jaxtyping import Float, Int
from torch import Tensor

from src.seeding import child_generator
from src.synthetic.distribution import SpatialDistribution
from src.synthetic.model import PositionalAttentionModel
from src.synthetic.realistic import DivergenceError, gradient_descent

# Five thirds shrink a step 243-fold; what diverges even so is no matter of the step size.
MAX_RETRIES = 5


@dataclass(frozen=True)
class Arm:
    """One way to meet the downstream task: where its data come from, and the attention that is kept.

    attention_logits : (D, D), frozen while v is learned; None learns attention and v, both from scratch.
    """

    distribution: SpatialDistribution
    attention_logits: Float[Tensor, "patches patches"] | None


@dataclass(frozen=True)
class Descent:
    """Settings of the downstream descent, as in `gradient_descent` and `PositionalAttentionModel`."""

    steps: int
    lr_value: float
    lr_attention: float
    degree: int = 3
    linear_coefficient: float = 0.03
    diagonal: float = 1.0

    def smaller(self) -> "Descent":
        """The same descent with both step sizes divided by three."""
        return replace(self, lr_value=self.lr_value / 3, lr_attention=self.lr_attention / 3)


@dataclass(frozen=True)
class TransferCurve:
    """Per arm: test `accuracy` (runs, sizes), and `retries` (runs, sizes), how often its steps had to shrink."""

    accuracy: dict[str, Float[Tensor, "runs sizes"]]
    retries: dict[str, Int[Tensor, "runs sizes"]]


def transfer_curve(
    runs: Sequence[Mapping[str, Arm]],
    sample_sizes: Sequence[int],
    descent: Descent,
    *,
    seed: int,
    num_test: int = 4000,
) -> TransferCurve:
    """Test accuracy against downstream sample size, for every arm.

    Parameters
    ----------
    runs : one mapping name -> Arm for each seed; all runs have the same arms.
    sample_sizes : downstream training samples. A larger sample contains the smaller ones, and arms with the same
        distribution see the same draws.
    seed : the draws' and the initializations' streams derive from it by name.
    num_test : fresh inputs on which each trained model is measured.

    Notes
    -----
    A descent that diverges is run again from the same start with both step sizes divided by three, so that no
    arm loses for its step size alone; the curve counts these retries.
    """
    if not sample_sizes or min(sample_sizes) < 1:
        raise ValueError(f"sample_sizes = {list(sample_sizes)}: at least one size, each >= 1, is needed")
    cells = {name: [] for name in runs[0]}
    for index, arms in enumerate(runs):
        for name, arm in arms.items():
            device = arm.distribution.feature.device
            draw = child_generator(seed, "downstream", index, device=device)
            train = arm.distribution.sample(max(sample_sizes), generator=draw)
            test = arm.distribution.sample(num_test, generator=draw)
            for size in sample_sizes:
                start = child_generator(seed, "downstream model", index, device=device)
                model, retries = learn_downstream(
                    arm, train.patches[:size], train.label[:size], descent, generator=start
                )
                cells[name].append((accuracy_on(model, test.patches, test.label), retries))
    tables = {
        name: torch.tensor(cell).reshape(len(runs), len(sample_sizes), 2) for name, cell in cells.items()
    }
    return TransferCurve(
        {name: table[..., 0] for name, table in tables.items()},
        {name: table[..., 1].long() for name, table in tables.items()},
    )


def learn_downstream(
    arm: Arm,
    patches: Float[Tensor, "samples patches dim"],
    label: Float[Tensor, " samples"],
    descent: Descent,
    *,
    generator: torch.Generator,
) -> tuple[PositionalAttentionModel, int]:
    """Train a fresh model on the downstream sample, its attention kept where the arm has one; and the retries."""
    kept = arm.attention_logits is not None
    fresh = PositionalAttentionModel(
        *patches.shape[1:],
        degree=descent.degree,
        linear_coefficient=descent.linear_coefficient,
        diagonal=descent.diagonal,
        generator=generator,
        dtype=patches.dtype,
    )
    if kept:
        with torch.no_grad():
            fresh.attention_logits.copy_(arm.attention_logits)
    for retries in count():
        model = deepcopy(fresh)
        try:
            gradient_descent(
                model,
                patches,
                label,
                steps=descent.steps,
                lr_value=descent.lr_value,
                lr_attention=0.0 if kept else descent.lr_attention,
                record_every=descent.steps,
            )
            return model, retries
        except DivergenceError:
            if retries == MAX_RETRIES:
                raise
            descent = descent.smaller()


@torch.no_grad()
def accuracy_on(
    model: Callable[[Tensor], Tensor],
    patches: Float[Tensor, "samples patches dim"],
    label: Float[Tensor, " samples"],
) -> float:
    """Share of inputs whose margin has the label's sign; an undecided input counts as wrong."""
    return (model(patches) * label > 0).double().mean().item()
