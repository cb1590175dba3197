"""What the benchmarks of the image models share: the paper's shape, and calls that are timed alike.

On a CUDA device every call is recorded as one CUDA graph, as `fit` does with its steps, and runs in bfloat16: what is
compared is the work, not how fast Python launches it.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.common.graphs import WARM_UP, CudaGraphs, Recorded

BATCH = 64
PAPER = {"embed_dim": 384, "depth": 7, "num_heads": 12, "mlp_dim": 384}
SHAPE = {"image_size": 32, "patch_size": 4, "num_classes": 10} | PAPER
NARROW = {"embed_dim": 96, "depth": 4, "num_heads": 3, "mlp_dim": 192}
SMALL = {"patch_size": 4, "num_classes": 10} | NARROW
IN_WORDS = "7 layers, 384 wide, 12 heads, 65 tokens"


def random_batch(batch: int, device: torch.device, image_size: int = 32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, image_size, image_size, generator=generator)
    return images.to(device), torch.randint(10, (batch,), generator=generator).to(device)


def training_step(model: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], Tensor]:
    """Forward, backward and AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True, capturable=images.is_cuda)

    def step(*, images: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return _ready(step, images=images, labels=labels)


def inference(model: nn.Module, images: Tensor) -> Callable[[], Tensor]:
    """Logits, without gradients."""

    @torch.no_grad()
    def infer(*, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
            return model(images)

    return _ready(infer, images=images)


def _ready(function: Callable[..., Tensor], **tensors: Tensor) -> Callable[[], Tensor]:
    if not any(tensor.is_cuda for tensor in tensors.values()):
        return lambda: function(**tensors)
    recorded = Recorded(function, CudaGraphs())
    for _ in range(WARM_UP + 1):
        recorded(**tensors)
    return lambda: recorded(**tensors)
