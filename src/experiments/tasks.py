"""The repetitions of a theory experiment, from its settings."""

import torch

from src.experiments.settings import ActivationSettings, DistributionSettings, StartSettings
from src.synthetic.tasks import Task, draw_task


def draw_tasks(settings: DistributionSettings, device: torch.device) -> list[Task]:
    """One task a repetition."""
    size = {name: getattr(settings, name) for name in ("num_patches", "set_size", "patch_dim")}
    prob = settings.distractor_prob
    return [
        draw_task(settings.seed, index, **size, distractor_prob=prob, device=device)
        for index in range(settings.num_seeds)
    ]


def activation_of(settings: ActivationSettings) -> dict[str, int | float]:
    """The model's options."""
    return {"degree": settings.degree, "linear_coefficient": settings.linear_coefficient}


def start_of(settings: StartSettings, diagonal: float) -> dict[str, float]:
    """Where the model starts, its options."""
    return {
        "diagonal": diagonal,
        "init_scale": settings.init_value,
        "init_scale_attention": settings.init_attention,
    }
