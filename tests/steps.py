"""Small models, and the losses of their first steps, by whichever way `Step` is told to take them."""

import torch

from src.vision.augment import Augmentation
from src.vision.convnet import SmallConvNet
from src.vision.image_sets import ImageSet
from src.vision.permutation import Permuted
from src.vision.settings import TrainingSettings
from src.vision.steps import Execution, Step
from src.vision.vit import VisionTransformer

SETTINGS = TrainingSettings(accelerator="cpu", precision="32-true", gradient_clip=0.5)
PLAIN, TOGETHER = Execution(False, False, False), Execution(False, True, False)
MEMBERS, BATCH = 3, 16


def new_models(kind: str, count: int = MEMBERS) -> list[torch.nn.Module]:
    models = []
    for seed in range(count):
        generator = torch.Generator().manual_seed(seed)
        if kind == "convnet":
            models.append(SmallConvNet(10, 8, generator=generator))
            continue
        attention = kind.removesuffix("_permuted")
        model = VisionTransformer(8, 2, 10, 12, 2, 2, 20, attention, generator=generator)
        order = torch.randperm(16, generator=generator)
        models.append(Permuted(model, order, 2) if kind.endswith("permuted") else model)
    return models


def losses_of_steps(step: Step, data: ImageSet, augmentation: Augmentation, steps: int = 6) -> torch.Tensor:
    draws = augmentation.draw((steps, len(step.models) * BATCH), torch.Generator().manual_seed(0))
    rows = torch.randint(
        len(data), (steps, len(step.models) * BATCH), generator=torch.Generator().manual_seed(1)
    )
    losses = []
    for index, row in enumerate(rows):
        own = {name: values[index] for name, values in draws.items()}
        losses.append(step(data.images[row], data.labels[row], own, 1e-3 * (index + 1)).clone())
    return torch.stack(losses)
