"""How a training run is to go: one frozen object, checked when it is made."""

from dataclasses import dataclass

from src.common.choices import one_of, refusal
from src.vision.augment import UNCHANGED, Augmentation

PRECISIONS = ("auto", "32-true", "bf16-mixed")
COMPILE = ("auto",)  # or True or False
# Settings that a resumed run may change: they do not alter what is computed.
FREE_ON_RESUME = {"accelerator", "devices", "num_nodes", "compile", "checkpoint_every", "progress"}


@dataclass(frozen=True)
class TrainingSettings:
    """How `fit` trains: AdamW, linear warmup, cosine to zero.

    Attributes
    ----------
    epochs : passes over the training images; an epoch leaves out what does not fill a batch.
    batch_size : images per step, of all processes together.
    learning_rate : at the end of the warmup.
    weight_decay : decoupled; not on vectors (norms, biases), `cls_token`, and what says where to look (`pos_embed`).
    betas : of AdamW.
    warmup_epochs : linear rise from 0; may be a fraction.
    augmentation : what is done to training images; by default nothing.
    label_smoothing : share of each label spread over all classes.
    gradient_clip : largest norm of the gradient; None for no limit.
    precision : "32-true", "bf16-mixed", or "auto": the latter where the device computes in bfloat16.
    seed : of the data's order, the augmentation and dropout; the model comes initialized. `fit_ensemble` takes
        a seed for each member in its place.
    accelerator : as in Lightning Fabric.
    devices : likewise; under `torchrun` its number holds.
    num_nodes : likewise.
    compile : "auto": on one CUDA device the whole step is recorded as a CUDA graph, the models of an ensemble
        together, and runs plainly elsewhere. True: the same, through `torch.compile`, which takes a minute and pays
        in long runs. False: plainly everywhere. What is computed stays the same, up to rounding.
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
    augmentation: Augmentation = UNCHANGED
    label_smoothing: float = 0.1
    gradient_clip: float | None = 1.0
    precision: str = "auto"
    seed: int = 0
    accelerator: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    compile: bool | str = "auto"
    checkpoint_every: int = 1
    progress: bool = True

    def __post_init__(self):
        least = dict.fromkeys(("epochs", "batch_size", "devices", "num_nodes", "checkpoint_every"), 1)
        least |= dict.fromkeys(
            ("learning_rate", "weight_decay", "warmup_epochs", "label_smoothing", "seed"), 0
        )
        for name, bound in least.items():
            if not getattr(self, name) >= bound:
                raise ValueError(refusal(name, getattr(self, name), f"a number >= {bound}", bound))
        if self.label_smoothing >= 1:
            raise ValueError(refusal("label_smoothing", self.label_smoothing, "a number below 1", 0.1))
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(refusal("betas", self.betas, "each at least 0 and below 1", (0.9, 0.999)))
        if self.gradient_clip is not None and not self.gradient_clip > 0:
            raise ValueError(
                refusal("gradient_clip", self.gradient_clip, "a number above 0, or None for no limit,")
            )
        one_of("precision", self.precision, PRECISIONS)
        if not isinstance(self.compile, bool):
            one_of("compile", self.compile, COMPILE)
