"""Training and evaluation of an image classifier: one loop for one device, several, or several nodes.

Every random choice of epoch e derives from (seed, what it is for, e), never from a stream that runs on, so a
resumed run continues the trajectory of an uninterrupted one. Each of w processes takes its w-th of one global
batch and of the draws made for it, so that their number does not change the trajectory either.
"""

import builtins
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from src.choices import one_of
from src.seeding import child_generator
from src.vision.augment import Augmentation, Draws, apply_policy, augment, normalize
from src.vision.images import ImageSet, StreamedImages

PRECISIONS = ("auto", "32-true", "bf16-mixed")
CHECK_EVERY = 20  # steps between looks at the loss, each of which waits for the device
# Settings that a resumed run may change: they do not alter what is computed.
FREE_ON_RESUME = ("accelerator", "devices", "num_nodes", "compile", "checkpoint_every", "progress")


@dataclass(frozen=True)
class TrainingSettings:
    """How `fit` trains: AdamW, linear warmup, cosine to zero.

    Attributes
    ----------
    epochs : passes over the training images; an epoch leaves out what does not fill a batch.
    batch_size : images per step, of all processes together.
    learning_rate : at the end of the warmup.
    weight_decay : decoupled; not on vectors (norms, biases), `pos_embed` and `cls_token`.
    betas : of AdamW.
    warmup_epochs : linear rise from 0; may be a fraction.
    label_smoothing : share of each label spread over all classes.
    gradient_clip : largest norm of the gradient; None for no limit.
    precision : "32-true", "bf16-mixed", or "auto": the latter where the CUDA device computes in bfloat16.
    seed : of the data's order, the augmentation and dropout; the model comes initialized.
    accelerator, devices, num_nodes : as in Lightning Fabric; under `torchrun` its numbers hold.
    compile : run the model through `torch.compile`.
    checkpoint_every : epochs between checkpoints; the last epoch always leaves one.
    progress : show progress and time left on stderr, unless in a notebook.

    Raises
    ------
    ValueError : a value outside its range.
    """

    epochs: int = 12
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    warmup_epochs: float = 1.0
    label_smoothing: float = 0.1
    gradient_clip: float | None = 1.0
    precision: str = "auto"
    seed: int = 0
    accelerator: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    compile: bool = False
    checkpoint_every: int = 1
    progress: bool = True

    def __post_init__(self):
        least = dict.fromkeys(("epochs", "batch_size", "devices", "num_nodes", "checkpoint_every"), 1)
        least |= dict.fromkeys(
            ("learning_rate", "weight_decay", "warmup_epochs", "label_smoothing", "seed"), 0
        )
        for name, bound in least.items():
            if not getattr(self, name) >= bound:
                raise ValueError(
                    f"{name}={getattr(self, name)} must be at least {bound}; the nearest: {bound}"
                )
        if self.label_smoothing >= 1:
            raise ValueError(f"label_smoothing={self.label_smoothing} must be less than 1; usual: 0.1")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas={self.betas} must be at least 0 and less than 1; usual: (0.9, 0.999)")
        if self.gradient_clip is not None and not self.gradient_clip > 0:
            raise ValueError(f"gradient_clip={self.gradient_clip} must be positive; None for no limit")
        one_of("precision", self.precision, PRECISIONS)


@dataclass
class TrainingHistory:
    """What a run was like, one entry an epoch.

    Attributes
    ----------
    train_loss : mean over the epoch's steps, with label smoothing and augmentation.
    validation_loss, validation_accuracy : after the epoch; empty without validation images.
    learning_rate : of the epoch's last step.
    images_per_second : training only, all processes together.
    seconds : the whole epoch, validation and callback too.
    observations : what the callback returned, None excepted, by number of epochs trained; kept in checkpoints.
    """

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    images_per_second: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    observations: dict[int, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.train_loss)


@dataclass(frozen=True)
class Evaluation:
    """Mean cross-entropy, share of right answers, and the number of images both are of."""

    loss: float
    accuracy: float
    n: int


class NonFiniteLossError(RuntimeError):
    """The loss became infinite or not a number; `history` holds the whole epochs before."""

    def __init__(self, message: str, history: TrainingHistory):
        super().__init__(message)
        self.history = history


def fit(
    model: nn.Module,
    train: ImageSet | StreamedImages,
    *,
    validation: ImageSet | StreamedImages | None = None,
    settings: TrainingSettings | None = None,
    augmentation: Augmentation | None = None,
    checkpoint: str | os.PathLike | None = None,
    callback: Callable[[int, nn.Module], Any] | None = None,
    fabric: Any = None,
) -> TrainingHistory:
    """Train `model` in place.

    Parameters
    ----------
    model : images (batch, 3, height, width), normalized, to logits (batch, classes); no statistics over the batch.
    validation : images to measure after each epoch; none of the test set.
    augmentation : None for none.
    checkpoint : file to write after epochs and, where it exists, to resume from.
    callback : called with the number of epochs trained, 0 included, and the model in evaluation mode.
    fabric : a launched Lightning Fabric; None starts one from the settings.

    Raises
    ------
    ValueError : settings, data and processes that do not fit each other; a checkpoint that cannot be resumed.
    NonFiniteLossError : the loss left the finite numbers, which training cannot mend.
    """
    settings = settings or TrainingSettings()
    fabric = fabric or start_fabric(settings)
    path = None if checkpoint is None else Path(checkpoint)
    with torch.random.fork_rng(devices=[fabric.device] if fabric.device.type == "cuda" else []):
        run = _start(model, train, settings, augmentation or Augmentation(crop_padding=0, flip=False), fabric)
        validation = validation if validation is None else validation.to(fabric.device)
        if path is None or not _resume(run, path):
            _observe(run, callback)
        for epoch in range(len(run.history), settings.epochs):
            begin = time.perf_counter()
            _train_epoch(run, epoch)
            if validation is not None:
                with fabric.autocast():
                    measured = evaluate(model, validation, fabric=fabric)
                run.history.validation_loss.append(measured.loss)
                run.history.validation_accuracy.append(measured.accuracy)
            _observe(run, callback)
            run.history.seconds.append(time.perf_counter() - begin)
            due = (epoch + 1) % settings.checkpoint_every == 0 or epoch + 1 == settings.epochs
            if path is not None and due:
                _save(run, path)
    return run.history


@torch.no_grad()
def evaluate(
    model: nn.Module, data: ImageSet | StreamedImages, *, batch_size: int = 500, fabric: Any = None
) -> Evaluation:
    """Cross-entropy and accuracy of `model` on `data`, in evaluation mode and on the model's device.

    Parameters
    ----------
    batch_size : images at once; the result does not depend on it.
    fabric : where several processes share the work; None for one.

    Raises
    ------
    ValueError : no images, or another number of logits than classes.
    """
    if not len(data):
        raise ValueError("data holds no images; at least one is needed")
    device, training = next(model.parameters()).device, model.training
    rank, processes = (0, 1) if fabric is None else (fabric.global_rank, fabric.world_size)
    data, totals = data.to(device), torch.zeros(2, device=device)
    rows = torch.arange(rank, len(data), processes)
    whole = len(rows) - len(rows) % batch_size
    model.eval()
    for part in (rows[:whole].view(-1, batch_size), rows[None, whole:]):
        for block_images, block_labels in data.blocks(part) if part.numel() else ():
            for images, labels in zip(block_images, block_labels, strict=True):
                logits = _logits(model, normalize(images, data.mean, data.std), data.classes)
                right = (logits.argmax(1) == labels).sum()
                totals += torch.stack([F.cross_entropy(logits, labels, reduction="sum"), right])
    model.train(training)
    totals = totals if fabric is None else fabric.all_reduce(totals, reduce_op="sum")
    loss, right = totals.tolist()
    return Evaluation(loss / len(data), right / len(data), len(data))


def start_fabric(settings: TrainingSettings) -> Any:
    """A launched Lightning Fabric for these settings; inside `torchrun` it takes torchrun's numbers of processes."""
    from lightning.fabric import Fabric  # not at import time: it takes seconds and brings in torchvision

    devices, num_nodes = settings.devices, settings.num_nodes
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        num_nodes = int(os.environ["WORLD_SIZE"]) // devices
    precision = settings.precision
    if precision == "auto":
        on_cuda = settings.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
        has_bf16 = on_cuda and torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bf16-mixed" if has_bf16 else "32-true"
    fabric = Fabric(
        accelerator=settings.accelerator, devices=devices, num_nodes=num_nodes, precision=precision
    )
    fabric.launch()
    return fabric


def learning_rate_at(step: int, steps_per_epoch: int, settings: TrainingSettings) -> float:
    """Learning rate of a step (from 0): linear warmup, then a cosine that would be zero after the last step."""
    warmup, total = settings.warmup_epochs * steps_per_epoch, settings.epochs * steps_per_epoch
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    return settings.learning_rate * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))) / 2


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """AdamW's groups: matrices decay; vectors (norms, biases), position encodings and the CLS token do not."""
    decayed, kept = [], []
    for name, parameter in model.named_parameters():
        spared = parameter.ndim < 2 or name.split(".")[-1] in ("pos_embed", "cls_token")
        (kept if spared else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]


# --- one run ---


@dataclass
class _Run:
    """What the loop works on. `wrapped` and `stepper` are Fabric's views of `model` and `optimizer`."""

    fabric: Any
    model: nn.Module
    wrapped: nn.Module
    optimizer: torch.optim.Optimizer
    stepper: Any
    train: ImageSet | StreamedImages
    settings: TrainingSettings
    augmentation: Augmentation
    progress: "_Progress"
    history: TrainingHistory = field(default_factory=TrainingHistory)

    @property
    def steps(self) -> int:
        return len(self.train) // self.settings.batch_size


def _start(
    model: nn.Module,
    train: ImageSet | StreamedImages,
    settings: TrainingSettings,
    augmentation: Augmentation,
    fabric: Any,
) -> _Run:
    batch, processes = settings.batch_size, fabric.world_size
    if batch > len(train):
        raise ValueError(f"batch_size={batch} must be at most {len(train)}, the number of training images")
    in_pairs = bool(augmentation.mixup or augmentation.cutmix)
    if batch % (unit := processes * (1 + in_pairs)):
        why = f"{processes} process(es){', images mixed in pairs' if in_pairs else ''}"
        nearest = max(1, batch // unit) * unit
        raise ValueError(f"batch_size={batch} must be a multiple of {unit}: {why}; the nearest: {nearest}")
    model.to(fabric.device)
    groups = parameter_groups(model, settings.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas)
    trained = torch.compile(model) if settings.compile else model
    wrapped, stepper = fabric.setup(trained, optimizer)
    shown = settings.progress and fabric.is_global_zero
    progress = _Progress(settings.epochs, len(train) // batch, batch, shown)
    return _Run(
        fabric, model, wrapped, optimizer, stepper, train.to(fabric.device), settings, augmentation, progress
    )


def _train_epoch(run: _Run, epoch: int) -> None:
    """One pass over the training images; adds loss, learning rate and images per second to the history."""
    begin, settings = time.perf_counter(), run.settings
    rows, draws = _plan(run, epoch)
    losses = torch.empty(run.steps, device=run.fabric.device)
    run.wrapped.train()
    step = checked = 0
    for images, labels in run.train.blocks(rows):
        if "policy" in draws:
            seeds = draws["policy"][step : step + len(labels)].flatten()
            images = apply_policy(images.flatten(0, 1), run.augmentation.policy, seeds).view_as(images)
        for batch_images, batch_labels in zip(images, labels, strict=True):
            rate = learning_rate_at(epoch * run.steps + step, run.steps, settings)
            losses[step] = _step(
                run, batch_images, batch_labels, {k: v[step] for k, v in draws.items()}, rate
            )
            step += 1
            if step % CHECK_EVERY == 0 or step in (1, run.steps):
                losses[checked:step] = run.fabric.all_reduce(losses[checked:step], reduce_op="mean")
                _check_finite(run, losses[checked:step].tolist(), epoch, checked)
                checked = step
            run.progress.show(epoch, step)
    run.history.train_loss.append(losses.cpu().double().mean().item())
    run.history.learning_rate.append(rate)
    run.history.images_per_second.append(run.steps * settings.batch_size / (time.perf_counter() - begin))


def _plan(run: _Run, epoch: int) -> tuple[Int64[Tensor, "steps batch"], Draws]:
    """This process's part of an epoch: rows of the training images, and the augmentation's draws for them."""
    seed, batch, fabric = run.settings.seed, run.settings.batch_size, run.fabric
    torch.manual_seed(child_generator(seed, "dropout", epoch, fabric.global_rank).initial_seed())
    order = torch.randperm(len(run.train), generator=child_generator(seed, "order", epoch))
    order = order[: run.steps * batch].view(run.steps, batch)
    draws = run.augmentation.draw((run.steps, batch), child_generator(seed, "augmentation", epoch))
    share = batch // fabric.world_size
    own = slice(fabric.global_rank * share, (fabric.global_rank + 1) * share)
    return order[:, own], {name: values[:, own].to(fabric.device) for name, values in draws.items()}


def _step(
    run: _Run,
    images: UInt8[Tensor, "batch channels height width"],
    labels: Int64[Tensor, " batch"],
    draws: Draws,
    learning_rate: float,
) -> Float[Tensor, ""]:
    """One step of gradient descent on uint8 images; nothing in it waits for the device."""
    data, settings = run.train, run.settings
    inputs, targets = augment(
        images, labels, draws, num_classes=len(data.classes), mean=data.mean, std=data.std
    )
    logits = _logits(run.wrapped, inputs, data.classes)
    loss = F.cross_entropy(logits, targets, label_smoothing=settings.label_smoothing)
    run.fabric.backward(loss)
    if settings.gradient_clip is not None:
        # A gradient that is not finite shows in the next loss, which is looked at.
        run.fabric.clip_gradients(
            run.wrapped, run.stepper, max_norm=settings.gradient_clip, error_if_nonfinite=False
        )
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate
    run.stepper.step()
    run.stepper.zero_grad()
    return loss.detach()


def _logits(model: nn.Module, inputs: Tensor, classes: tuple[str, ...]) -> Float[Tensor, "batch classes"]:
    logits = model(inputs).float()
    if logits.shape != (len(inputs), len(classes)):
        needed = f"({len(inputs)}, {len(classes)}), a logit for each class"
        raise ValueError(f"model gives {tuple(logits.shape)}; {needed}, is needed")
    return logits


def _check_finite(run: _Run, losses: list[float], epoch: int, first_step: int) -> None:
    for step, loss in enumerate(losses, first_step):
        if not math.isfinite(loss):
            rate = learning_rate_at(epoch * run.steps + step, run.steps, run.settings)
            raise NonFiniteLossError(
                f"the loss is {loss} at step {step + 1} of {run.steps} in epoch {epoch + 1}, learning rate {rate:.3g};"
                " a lower learning_rate, a longer warmup or gradient_clip is needed",
                run.history,
            )
    run.progress.loss = losses[-1]


@torch.no_grad()
def _observe(run: _Run, callback: Callable | None) -> None:
    if callback is not None:
        run.model.eval()
        seen = callback(len(run.history), run.model)
        if seen is not None:
            run.history.observations[len(run.history)] = seen


# --- checkpoints ---


def _trajectory(run: _Run) -> dict[str, Any]:
    """All that must be the same for a resumed run to continue a trajectory."""
    settings = {name: value for name, value in asdict(run.settings).items() if name not in FREE_ON_RESUME}
    augmentation = {f"augmentation.{name}": value for name, value in asdict(run.augmentation).items()}
    data = {"training images": len(run.train), "classes": len(run.train.classes)}
    return settings | augmentation | data | {"precision": run.fabric.strategy.precision.precision}


def _save(run: _Run, path: Path) -> None:
    """Write a checkpoint; at no time is there half a one under its name."""
    run.fabric.barrier()
    if not run.fabric.is_global_zero:
        return
    state = {
        "trajectory": _trajectory(run),
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "history": asdict(run.history),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        torch.save(state, partial)
        if kinds := torch.serialization.get_unsafe_globals_in_checkpoint(partial):
            needed = "numbers, strings, tensors, and lists and dicts of them, are needed"
            raise ValueError(
                f"callback returned {', '.join(kinds)}, which a checkpoint cannot keep; {needed}"
            )
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _resume(run: _Run, path: Path) -> bool:
    """Continue from a checkpoint; False if there is none."""
    if not path.exists():
        return False
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        parts = {name: state[name] for name in ("trajectory", "model", "optimizer", "history")}
    except Exception as error:  # a damaged or foreign file fails in many ways
        fault = f"not a whole checkpoint of fit ({type(error).__name__})"
        raise ValueError(f"{path}: {fault}; another file, or none to start anew, is needed") from error
    for name, now in _trajectory(run).items():
        before = parts["trajectory"].get(name)
        if before != now:
            raise ValueError(
                f"{path}: written with {name}={before!r}, now {now!r}; the same value is needed to resume"
            )
    try:
        run.model.load_state_dict(parts["model"])
        run.optimizer.load_state_dict(parts["optimizer"])
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path}: holds another model ({reason}); the one it was written for is needed"
        ) from error
    run.history = TrainingHistory(**parts["history"])
    return True


class _Progress:
    """One line on stderr: rewritten in place on a terminal, anew every few seconds elsewhere, none in a notebook."""

    def __init__(self, epochs: int, steps: int, batch_size: int, shown: bool):
        self.epochs, self.steps, self.batch_size = epochs, steps, batch_size
        self.on_terminal = sys.stderr.isatty()
        self.shown = shown and not hasattr(builtins, "__IPYTHON__")
        self.begin = self.last = time.monotonic()
        self.first, self.loss = None, math.nan

    def show(self, epoch: int, step: int) -> None:
        done, total, now = epoch * self.steps + step, self.epochs * self.steps, time.monotonic()
        if self.first is None:
            self.first = done - 1  # of a resumed run
        if not self.shown or (now - self.last < (0.2 if self.on_terminal else 5) and done < total):
            return
        rate = (done - self.first) / (now - self.begin)
        minutes, seconds = divmod(round((total - done) / rate), 60)
        bar = "█" * (20 * done // total) + "·" * (20 - 20 * done // total)
        line = (
            f"{bar} epoch {epoch + 1}/{self.epochs}, step {step}/{self.steps}, loss {self.loss:.3f}, "
            f"{rate * self.batch_size:,.0f} images/s, {minutes}:{seconds:02d} left"
        )
        end = "" if self.on_terminal and done < total else "\n"
        print(f"\r{line}\033[K" if self.on_terminal else line, end=end, file=sys.stderr, flush=True)
        self.last = now
