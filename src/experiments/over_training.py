"""How long association lasts, by the diagonal: descents without noise, beside the linear theory of their rows."""

from collections.abc import Iterator, Sequence
from itertools import repeat

import numpy as np
import torch
from torch import Tensor

from src.common.device import pick_device
from src.common.seeding import child_generator
from src.experiments.measured import Measured
from src.experiments.settings import LIFETIME_TEST, LIFETIME_THEORY, OverTrainingSettings
from src.experiments.tasks import activation_of, start_of
from src.structure import Partition, patch_association
from src.synthetic.distribution import SpatialDistribution, SpatialSample
from src.synthetic.exact import Population
from src.synthetic.gradient import loss_and_gradient
from src.synthetic.idealized import IdealizedModel, idealized_descent
from src.synthetic.model import PositionalAttentionModel
from src.synthetic.stability import row_growth

LOST = 0.95  # association below which it counts as lost
FRAMES = 60  # steps at which association is looked at, even on a logarithmic axis
RATES = 24  # steps at which the linear theory takes its rate


def run(settings: OverTrainingSettings) -> Measured:
    """A study of the companion's own. Cost: about 5 minutes on one core.

    Departure from the paper: no noise (d = 1, v = alpha w*), so that there is none to fit. Expected: association
    lasts longer the larger the diagonal is, on a fixed sample and on ever new inputs alike; and the linear theory's
    amplification of a difference between rows falls with it. A descent that diverges has neither lifetime nor accuracy.
    """
    marks = np.unique(np.geomspace(1, settings.lifetime_steps, FRAMES).round().astype(int))
    shape = (2, len(settings.diagonals), settings.num_seeds)
    association, accuracy = torch.zeros(*shape, len(marks)), torch.zeros(shape)
    for mode, fresh in enumerate((False, True)):
        for place, diagonal in enumerate(settings.diagonals):
            association[mode, place], accuracy[mode, place] = _descend(settings, diagonal, fresh, marks)
    life = _lifetime(association.numpy(), marks)
    metrics = {
        f"{name}_{kind}_{diagonal:g}": values[mode, place].tolist()
        for name, values in (("lifetime", life), ("accuracy", accuracy.numpy()))
        for mode, kind in enumerate(("fixed", "fresh"))
        for place, diagonal in enumerate(settings.diagonals)
    }
    arrays = {
        "diagonals": settings.diagonals,
        "step": marks,
        "association": association,
        "accuracy": accuracy,
        "lifetime": life,
        "log_amplification": [_log_amplification(settings, diagonal) for diagonal in settings.diagonals],
    }
    return Measured(metrics, arrays)


def _descend(
    settings: OverTrainingSettings, diagonal: float, fresh: bool, marks: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Association (repetitions, t) at `marks`, and test accuracy at the end (repetitions,); nan once one diverges."""
    device = pick_device(settings.device)
    draws = [
        child_generator(settings.seed, "over-training", i, device=device) for i in range(settings.num_seeds)
    ]
    shape = (settings.num_patches, settings.set_size)
    partitions = [Partition.random(*shape, generator=draw) for draw in draws]
    one = torch.ones(1, device=device)
    distributions = [SpatialDistribution(each, one, settings.distractor_prob) for each in partitions]
    start = start_of(settings, diagonal)
    models = PositionalAttentionModel.stack(
        [
            PositionalAttentionModel(shape[0], 1, **start, **activation_of(settings), generator=draw)
            for draw in draws
        ]
    ).requires_grad_(False)

    def drawn(n: int) -> tuple[Tensor, Tensor]:
        pairs = zip(distributions, draws, strict=True)
        return _stacked([each.sample(n, generator=draw) for each, draw in pairs])

    test, first = drawn(LIFETIME_TEST), drawn(settings.lifetime_samples)
    samples = iter(lambda: drawn(settings.lifetime_samples), None) if fresh else repeat(first)
    association = [
        torch.stack([_association(*each) for each in zip(logits, partitions, strict=True)])
        for logits in _follow(settings, models, samples, marks)
    ]
    margins = models(test[0]) * test[1]
    accuracy = (margins > 0).double().mean(-1).where(margins.isfinite().all(-1), torch.nan)
    return torch.stack(association, dim=-1), accuracy


def _association(logits: Tensor, partition: Partition) -> Tensor:
    return patch_association(logits, partition).mean().where(logits.isfinite().all(), torch.nan)


def _follow(
    settings: OverTrainingSettings,
    models: PositionalAttentionModel,
    samples: Iterator[tuple[Tensor, Tensor]],
    marks: np.ndarray,
) -> Iterator[Tensor]:
    """Plain descent of all models in place, each iteration on the next of `samples`; the logits at `marks`."""
    wanted = set(marks.tolist())
    for step, (patches, label) in zip(range(1, settings.lifetime_steps + 1), samples, strict=False):
        _, _, grad_value, grad_attention = loss_and_gradient(models, patches, label)
        models.value_vector -= settings.lr_value * grad_value
        models.attention_logits -= settings.lr_attention * grad_attention
        if step in wanted:
            yield models.attention_logits


def _stacked(samples: Sequence[SpatialSample]) -> tuple[Tensor, Tensor]:
    return torch.stack([each.patches for each in samples]), torch.stack([each.label for each in samples])


def _lifetime(association: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """The first mark at which association is lost again, over the last axis.

    0 where it never was there; the last mark where it is there at the end: then it lasts that long at least. nan of a
    descent that diverged.
    """
    there = association >= LOST
    begun = there.argmax(-1)
    lost = ~there & (np.arange(len(marks)) > begun[..., None])
    first = np.where(lost.any(-1), marks[lost.argmax(-1)], marks[-1])
    lasted = np.where(there.any(-1), first, 0).astype(float)
    return np.where(np.isnan(association).any(-1), np.nan, lasted)


def _log_amplification(settings: OverTrainingSettings, diagonal: float) -> float:
    """ln of the factor by which the symmetric solution amplifies a small difference between two rows of a set.

    The sum over the iterations of the idealized descent of ln(1 + lr_attention * rate): the rate is measured at
    about RATES of them, and taken as constant in between.
    """
    shape = (settings.num_patches, settings.set_size)
    model = IdealizedModel(*shape, settings.degree, settings.linear_coefficient, diagonal)
    draw = child_generator(settings.seed, "linear theory")
    partition = Partition.contiguous(*shape)
    feature = torch.ones(1, dtype=torch.float64)
    distribution = SpatialDistribution(partition, feature, settings.distractor_prob)
    sample = distribution.sample(LIFETIME_THEORY, generator=draw)
    inputs = Population(sample.patches, sample.label, torch.full_like(sample.label, 1 / LIFETIME_THEORY))
    path = idealized_descent(
        *shape,
        settings.distractor_prob,
        **activation_of(settings),
        diagonal=diagonal,
        lr_value=settings.lr_value,
        lr_attention=settings.lr_attention,
        steps=settings.lifetime_steps,
        num_samples=1024,
        generator=draw,
    )
    state = torch.stack([path.alpha, path.gamma, path.rho], dim=-1)
    steps = np.unique([0, *np.geomspace(10, settings.lifetime_steps, RATES).round().astype(int)])
    rates = [row_growth(model, partition, inputs, state[step])[0].item() for step in steps[:-1]]
    return float(np.sum(np.log1p(settings.lr_attention * np.array(rates)) * np.diff(steps)))
