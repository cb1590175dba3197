"""One step of training on a batch already on the device: augmentation, forward, backward, AdamW.

The same step is run in three ways, which `execution` alone chooses between: plainly, one model after the other;
together, several models of one architecture with their weights stacked, so that every operation is one launch for
all; recorded, the whole of it as one CUDA graph, so that a step costs Python and driver one launch.
"""

import os
import shutil
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from src.common.choices import refusal
from src.common.graphs import CudaGraphs, Recorded
from src.common.shapes import Float, Int64, UInt8
from src.vision.augment import augment
from src.vision.image_sets import ImageSet, StreamedImages
from src.vision.settings import TrainingSettings

SPARED = ("pos_embed", "cls_token", "logits", "amplitude", "width")


class Execution(NamedTuple):
    """How steps run: through `torch.compile`, all models in one call, recorded as a CUDA graph."""

    compiled: bool
    together: bool
    recorded: bool


def execution(compile: bool | str, device: torch.device, models: int, processes: int) -> Execution:
    """The one place where the device decides: what pays on a GPU, whose launches cost more than small products.

    On the CPU several models run one after the other: stacked, their products take up to half as long again.
    ValueError where a compiled step is asked for and no compiler is at hand.
    """
    on_cuda = device.type == "cuda" and processes == 1 and compile is not False
    if compile is True and device.type == "cpu" and (compiler := missing_compiler()):
        raise ValueError(refusal("compile", True, f"a C++ compiler ({compiler} is not at hand)"))
    return Execution(compile is True, models > 1 and (on_cuda or compile is True), on_cuda)


def missing_compiler() -> str:
    """The C++ compiler that torch.compile calls on a CPU, where it is not at hand; empty where it is."""
    compiler = os.environ.get("CXX", "g++")
    return "" if shutil.which(compiler) else compiler


def fastest_precision(device: torch.device) -> str:
    """The other place where the device decides: bfloat16 where its products are computed in hardware, else float32.

    On CPUs those are AMX or AVX512-BF16. See `src.vision.fast` for the attention that goes with it.
    """
    if device.type == "cuda":
        in_hardware = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.11 may lack it
        in_hardware = any(capabilities.get(unit) for unit in ("amx_bf16", "avx512_bf16"))
    return "bf16-mixed" if in_hardware else "32-true"


class Step:
    """Takes steps of gradient descent with `models`, each on its own part of a batch, and none aware of the others.

    Parameters
    ----------
    models : on the device; of one architecture if several. With `Execution.together` their parameters become views
        of the stacked ones, up to `release`.
    data : whose classes, mean and standard deviation count.
    fabric : Lightning Fabric, for its precision and processes.
    how : see `execution`.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        data: ImageSet | StreamedImages,
        settings: TrainingSettings,
        fabric: Any,
        how: Execution,
    ):
        self.models, self.data, self.settings, self.fabric = list(models), data, settings, fabric
        self.stacked = stack(models) if how.together else None
        if how.together:
            losses = vmap(self._loss_of_weights, randomness="different")
            self._losses = torch.compile(losses) if how.compiled else losses
        else:
            self.wrapped = [fabric.setup_module(torch.compile(m) if how.compiled else m) for m in models]
        # A tensor, so that a recorded step reads the rate of the day.
        self.rate = torch.zeros((), device=fabric.device)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(nn.ModuleList(models), settings.weight_decay),
            lr=self.rate, betas=settings.betas, fused=True, capturable=how.recorded,
        )  # fmt: skip
        self.stepper = fabric.setup_optimizers(self.optimizer)
        self._run = Recorded(self._step, CudaGraphs()) if how.recorded else self._step

    def __call__(
        self,
        images: UInt8[Tensor, "members_x_batch channels height width"],
        labels: Int64[Tensor, " members_x_batch"],
        draws: dict[str, Tensor],
        learning_rate: float,
    ) -> Float[Tensor, " members"]:
        """One step of every model; nothing in it waits for the device, and the next call may overwrite the losses."""
        self.rate.fill_(learning_rate)
        return self._run(images=images, labels=labels, **draws)

    def load_optimizer(self, state: dict[str, Any]) -> None:
        """Take over an optimizer's memory; settings and learning rate stay this step's own."""
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state["state"], "param_groups": groups})
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate

    def release(self) -> None:
        """Give the models memory of their own again."""
        if self.stacked is not None:
            for model in self.models:
                for tensor in (*model.parameters(), *model.buffers()):
                    tensor.data = tensor.data.clone()

    def _step(self, *, images: Tensor, labels: Tensor, **draws: Tensor) -> Float[Tensor, " members"]:
        inputs, targets = augment(
            images, labels, draws, num_classes=len(self.data.classes), mean=self.data.mean, std=self.data.std
        )
        losses = (self._one_by_one if self.stacked is None else self._together)(inputs, targets)
        if self.settings.gradient_clip is not None:
            for model in self.models:
                # A gradient that is not finite shows in the next loss, which is looked at.
                nn.utils.clip_grad_norm_(model.parameters(), self.settings.gradient_clip)
        self.stepper.step()
        self.stepper.zero_grad()
        return losses

    def _one_by_one(self, inputs: Tensor, targets: Tensor) -> Float[Tensor, " members"]:
        losses, members = [], len(self.models)
        for model, own_inputs, own_targets in zip(
            self.wrapped, inputs.chunk(members), targets.chunk(members), strict=True
        ):
            loss = self._loss(model(own_inputs), own_targets)
            self.fabric.backward(loss)
            losses.append(loss.detach())
        return torch.stack(losses)

    def _together(self, inputs: Tensor, targets: Tensor) -> Float[Tensor, " members"]:
        shape = (len(self.models), -1)
        with self.fabric.autocast():
            losses = self._losses(self.stacked, inputs.unflatten(0, shape), targets.unflatten(0, shape))
        learned = {name: tensor for name, tensor in self.stacked.items() if tensor.requires_grad}
        gradients = torch.autograd.grad(losses.sum(), list(learned.values()), allow_unused=True)
        for name, gradient in zip(learned, gradients, strict=True):
            if gradient is not None:
                # The fused optimizer takes for granted that a gradient lies in memory as its parameter does.
                for model, own in zip(self.models, gradient.contiguous(), strict=True):
                    model.get_parameter(name).grad = own
        return losses.detach()

    def _loss_of_weights(
        self, weights: dict[str, Tensor], inputs: Tensor, targets: Tensor
    ) -> Float[Tensor, ""]:
        return self._loss(functional_call(self.models[0], weights, (inputs,)), targets)

    def _loss(self, logits: Tensor, targets: Tensor) -> Float[Tensor, ""]:
        logits = checked_logits(logits, len(targets), self.data.classes)
        return F.cross_entropy(logits, targets, label_smoothing=self.settings.label_smoothing)


def checked_logits(logits: Tensor, batch: int, classes: tuple[str, ...]) -> Float[Tensor, "batch classes"]:
    """The logits in float32.

    Raises
    ------
    ValueError : another number of logits than of classes.
    """
    if logits.shape != (batch, len(classes)):
        needed = f"({batch}, {len(classes)}), a logit for each class"
        raise ValueError(f"model gives {tuple(logits.shape)}; {needed}, is needed")
    return logits.float()


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """AdamW's groups: weights decay. Norms, biases, the CLS token and what says where to look do not: encodings, and
    the free logits and masks of `src.vision.given`."""
    decayed, kept = [], []
    for name, parameter in model.named_parameters():
        spared = parameter.ndim < 2 or name.split(".")[-1] in SPARED
        (kept if spared else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]


def stack(models: Sequence[nn.Module]) -> dict[str, Tensor]:
    """Parameters and buffers of all models by name, (models, ...); each model's own become views of them.

    So a step changes the models as they are, and whoever loads or changes a model's weights changes the stack.
    """
    stacked = {}
    for name, first in (*models[0].named_parameters(), *models[0].named_buffers()):
        *path, leaf = name.split(".")
        own = [getattr(model.get_submodule(".".join(path)), leaf) for model in models]
        stacked[name] = torch.stack([tensor.detach() for tensor in own]).requires_grad_(first.requires_grad)
        for tensor, part in zip(own, stacked[name].detach(), strict=True):
            tensor.data = part
    return stacked
