"""Claim `idealized`: alpha, gamma, rho, loss and accuracy under gradient descent on the population risk."""

import torch

from src.common.device import pick_device
from src.common.seeding import child_generator
from src.experiments.measured import Measured
from src.experiments.settings import IdealizedSettings
from src.experiments.tasks import activation_of
from src.synthetic.idealized import IdealizedTrajectory, idealized_descent


def run(settings: IdealizedSettings) -> Measured:
    """Source: the paper's theorem on the idealized learning process. Cost: under 10 s a seed on two cores.

    Expected: gamma leaves rho behind, accuracy reaches the labelling function's.
    """
    device = pick_device(settings.device)
    runs = [
        _descend(settings, child_generator(settings.seed, "idealized", index, device=device))
        for index in range(settings.num_seeds)
    ]
    arrays = {
        name: torch.stack([getattr(run, name) for run in runs]).float().cpu()
        for name in ("alpha", "gamma", "rho", "loss", "accuracy")
    }
    tail = max(1, settings.steps // 20)  # one estimate has few samples: average the last 5 % of the estimates
    metrics = {
        "accuracy_end": arrays["accuracy"][:, -tail:].mean(1).tolist(),
        "gap_end": (arrays["gamma"] - arrays["rho"])[:, -1].tolist(),
    }
    return Measured(metrics, arrays)


def _descend(settings: IdealizedSettings, generator: torch.Generator) -> IdealizedTrajectory:
    return idealized_descent(
        settings.num_patches,
        settings.set_size,
        settings.distractor_prob,
        **activation_of(settings),
        diagonal=settings.diagonal,
        lr_value=settings.lr_value,
        lr_attention=settings.lr_attention,
        steps=settings.steps,
        num_samples=settings.batch_samples,
        generator=generator,
    )
