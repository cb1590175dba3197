"""Which set each row finds: realistic descents over the diagonal, the step of A and the number of samples."""

import numpy as np
import torch

from src.common.device import pick_device
from src.common.shapes import Float
from src.experiments.measured import Measured, columns
from src.experiments.settings import DiagonalSettings
from src.experiments.tasks import activation_of, draw_tasks, start_of
from src.synthetic.distribution import SpatialSample
from src.synthetic.measures import association
from src.synthetic.realistic import Run, check_finite, many_descents
from src.synthetic.tasks import Task
from src.synthetic.transfer import accuracy_on

RESAMPLES = 2000
READS = 0.5  # share of its attention to other patches than itself from which on a row counts as reading a set


def run(settings: DiagonalSettings) -> Measured:
    """A study of the companion's own. Cost: about 15 minutes on one core for 20 seeds at laptop scale's preset.

    Expected: below a threshold of the diagonal rows read other sets than their own, at nearly the Bayes error; above
    it all read their own. The threshold rises with the step of A, and falls with N.
    """
    tasks = draw_tasks(settings, pick_device(settings.device))
    train = [task.sample("train", max(settings.training_sizes)) for task in tasks]
    test = [task.sample("test", settings.num_test) for task in tasks]
    axes = (settings.training_sizes, settings.attention_steps, settings.diagonals)
    found = {
        name: np.zeros((*map(len, axes), len(tasks))) for name in ("own", "other", "error", "association")
    }
    for place in np.ndindex(*map(len, axes)):
        size, lr_attention, diagonal = (axis[i] for axis, i in zip(axes, place, strict=True))
        options = activation_of(settings) | start_of(settings, diagonal)
        rates = (settings.lr_value, lr_attention)
        runs = [task.run(each, size, *rates, **options) for task, each in zip(tasks, train, strict=True)]
        check_finite(many_descents(runs, steps=settings.steps, record_every=settings.steps))
        for name, values in columns([*map(_reading, runs, tasks, test)]).items():
            found[name][place] = values
    metrics = {
        f"rows_{name}_{diagonal:g}": found[name][:, :, place].mean((0, 1)).tolist()
        for name in ("own", "other")
        for place, diagonal in enumerate(settings.diagonals)
    }
    return Measured(metrics, dict(zip(("sizes", "steps", "diagonals"), axes, strict=True)) | found)


def threshold(
    diagonals: Float[np.ndarray, " n"], own: Float[np.ndarray, "n runs"], other: Float[np.ndarray, "n runs"]
) -> tuple[float, float, float]:
    """The diagonal from which on as many rows read their own set as another one, and the ends of its 95 % interval.

    Between two diagonals the means over the runs are taken as straight lines; where already at the first one as many
    do, it is that one, and where none is large enough infinity. The interval is a bootstrap's over the runs.
    """

    def crossing(runs: np.ndarray) -> float:
        lead = (own - other)[:, runs].mean(1)
        at = int((lead >= 0).argmax())
        if lead[at] < 0:
            return np.inf
        return diagonals[at] if at == 0 else np.interp(0, lead[at - 1 : at + 1], diagonals[at - 1 : at + 1])

    runs, generator = np.arange(own.shape[1]), np.random.default_rng(0)
    drawn = [crossing(generator.choice(runs, len(runs))) for _ in range(RESAMPLES)]
    low, high = np.quantile(drawn, (0.025, 0.975), method="nearest")  # no mean of an end that is infinite
    return float(crossing(runs)), float(low), float(high)


@torch.no_grad()
def _reading(run: Run, task: Task, test: SpatialSample) -> dict[str, float]:
    """Shares of rows that read their own set and another one; test error; association."""
    inside = torch.nn.functional.one_hot(task.partition.membership).to(test.label.dtype)
    others = run.model.attention.masked_fill(run.model.on_diagonal, 0)  # a large diagonal alone is no reading
    mass = others @ inside / others.sum(-1, keepdim=True)  # (D, L)
    largest, which = mass.max(-1)
    own = which == task.partition.membership
    return {
        "own": (own & (largest > READS)).double().mean().item(),
        "other": (~own & (largest > READS)).double().mean().item(),
        "error": 1 - accuracy_on(run.model, test.patches, test.label),
        "association": association(run.model.attention_logits, task).item(),
    }
