"""Claim `realistic`: descent on N samples from random initialization, to early stopping and on to over-training."""

import torch

from src.common.device import pick_device
from src.experiments.measured import Measured, columns
from src.experiments.settings import RealisticSettings
from src.experiments.tasks import activation_of, draw_tasks, start_of
from src.structure import patch_association
from src.synthetic.distribution import SpatialSample
from src.synthetic.measures import association, labelling_accuracy, measure_trajectory, working_rows
from src.synthetic.realistic import Run, check_finite, many_descents
from src.synthetic.tasks import Task
from src.synthetic.transfer import accuracy_on

# Gain of a row's attention on its own set, mean over the rows, from which on attention has moved.
MOVED = 0.01


def run(settings: RealisticSettings) -> Measured:
    """Source: the paper's theorem on the realistic learning process. Cost: about 10 s a seed on two cores.

    Expected: association 1 before `steps`, test accuracy near the labelling function's, and association lost again
    by `overtrain_steps`. Departure from the paper: early stopping after `steps`.

    The preset `paper` is Figure 4: D, C, d, p, nu as in the code that follows it; q, the steps, the initial sizes and
    sigma_A / sqrt(d) = 0.5 were chosen so that the printed curve comes out. It takes 5 to 10 minutes a seed.
    """
    tasks = draw_tasks(settings, pick_device(settings.device))
    train = [task.sample("train", settings.num_samples) for task in tasks]
    test = [task.sample("test", settings.num_test) for task in tasks]
    runs = _begin(settings, tasks, train, settings.num_samples)
    trajectories = [
        each.thinned(settings.record_every, settings.steps)
        for each in check_finite(many_descents(runs, steps=settings.overtrain_steps))
    ]
    curves = [measure_trajectory(*each) for each in zip(trajectories, runs, tasks, test, strict=True)]
    arrays = {name: torch.stack([each[name] for each in curves]) for name in curves[0]}
    early = [step <= settings.steps for step in trajectories[0].step]
    distributions = [task.distribution for task in tasks]
    metrics = {
        "association_peak": arrays["association"][:, early].amax(1).tolist(),
        "accuracy_end": arrays["accuracy"][:, early][:, -1].tolist(),
        **_figure_4({name: curve[:, early] for name, curve in arrays.items()}),
        "association_strict_end": [
            patch_association(trajectory.attention_logits[sum(early) - 1], task.partition, by_value=True)
            .mean()
            .item()
            for trajectory, task in zip(trajectories, tasks, strict=True)
        ],
        "association_overtrained": arrays["association"][:, -1].tolist(),
        "accuracy_overtrained": arrays["accuracy"][:, -1].tolist(),
        "labelling_accuracy": [*map(labelling_accuracy, distributions, test)],
        **columns([working_rows(*each) for each in zip(runs, tasks, test, strict=True)]),
    }
    arrays |= {
        "step": torch.tensor(trajectories[0].step),
        "attention": tasks[0].by_set(trajectories[0].attention_logits.softmax(-1)).cpu(),
        **_sweep(settings, tasks, train, test, metrics),
    }
    return Measured(metrics, arrays)


def _figure_4(curves: dict[str, torch.Tensor]) -> dict[str, list[float]]:
    """Its readings at `steps`, and on the plateau: the last step at which attention is where it was at the start."""
    mass = curves["set_mass"].mean(-1)
    still = (mass <= mass[:, :1] + MOVED).long().cumprod(1).sum(1) - 1
    plateau = curves["accuracy"].gather(1, still[:, None])[:, 0]
    return {
        "error_plateau": (1 - plateau).tolist(),
        "error_end": (1 - curves["accuracy"][:, -1]).tolist(),
        "cosine_end": curves["alignment"][:, -1].tolist(),
        "association_end": curves["association"][:, -1].tolist(),
        "set_mass_end": mass[:, -1].tolist(),
    }


def _begin(settings: RealisticSettings, tasks: list[Task], train: list[SpatialSample], n: int) -> list[Run]:
    """A descent of each repetition on its first `n` samples."""
    rates = (settings.lr_value, settings.lr_attention)
    options = activation_of(settings) | start_of(settings, settings.diagonal)
    return [task.run(sample, n, *rates, **options) for task, sample in zip(tasks, train, strict=True)]


def _sweep(
    settings: RealisticSettings,
    tasks: list[Task],
    train: list[SpatialSample],
    test: list[SpatialSample],
    largest: dict[str, list[float]],
) -> dict[str, torch.Tensor]:
    """Training on fewer samples: test accuracy at the end and peak association, (repetitions, sizes).

    largest : the metrics of the run on all samples, which is the last size.
    """
    sizes = sorted({*settings.sample_sizes} - {settings.num_samples})
    smaller = [run for n in sizes for run in _begin(settings, tasks, train, n)]
    trajectories = check_finite(
        many_descents(smaller, steps=settings.steps, record_every=settings.record_every)
    )
    points = zip(trajectories, smaller, tasks * len(sizes), test * len(sizes), strict=True)
    found = [
        (
            accuracy_on(run.model, sample.patches, sample.label),
            association(trajectory.attention_logits, task).max().item(),
        )
        for trajectory, run, task, sample in points
    ]
    found += zip(largest["accuracy_end"], largest["association_peak"], strict=True)
    found = torch.tensor(found).reshape(-1, len(tasks), 2).transpose(0, 1)
    return {
        "sweep_sizes": torch.tensor([*sizes, settings.num_samples]),
        "sweep_accuracy": found[..., 0],
        "sweep_association": found[..., 1],
    }
