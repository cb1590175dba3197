"""Small trainings on digits: what several tests, and processes that they start, train and how."""

from dataclasses import replace

import torch
from torch import nn

from src.vision.augment import Augmentation
from src.vision.settings import TrainingSettings
from src.vision.vit import VisionTransformer

MIXED = Augmentation(crop_padding=1, flip=False, mixup=0.2, cutmix=1.0)
QUIET = TrainingSettings(
    epochs=3, batch_size=64, learning_rate=3e-3, accelerator="cpu", precision="32-true", progress=False
)
SEEDS = [4, 7, 11]


class Interrupted(Exception):
    pass


class PatchNet(nn.Module):
    """Patches, one hidden layer with dropout, mean over patches: the smallest model with a pos_embed."""

    def __init__(self, num_classes: int = 10, width: int = 16, dropout: float = 0.0):
        super().__init__()
        self.proj = nn.Conv2d(3, width, 2, 2)
        self.pos_embed = nn.Parameter(torch.zeros(1, 16, width))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(16 * width, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.proj(images).flatten(2).transpose(1, 2) + self.pos_embed
        return self.head(self.dropout(self.norm(tokens).relu()).flatten(1))


def patch_net(**options) -> PatchNet:
    torch.manual_seed(0)
    return PatchNet(**options)


def small_vit(seed: int, attention: str = "positional") -> VisionTransformer:
    return VisionTransformer(8, 2, 10, 12, 1, 2, 12, attention, generator=torch.Generator().manual_seed(seed))


def settings(**changes) -> TrainingSettings:
    return replace(QUIET, **changes)
