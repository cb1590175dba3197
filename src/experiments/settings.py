"""Every parameter of the paper's experiments: its name, type, range, default and meaning; nothing else defines one.

One class an experiment. A chapter that shows several has a class that joins them, at the end of this file. Studies
beyond the paper have theirs in `study_settings`.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt
from pydantic import Field, model_validator

from src.common.choices import nearest_divisor, shown
from src.experiments.base import Settings, need

# What may differ between two repetitions of one experiment: the draw, their number, where and how it is computed.
REPETITION = {"seed", "num_seeds", "device", "data_folder", "download"}
REPETITION |= {"checkpoint_folder", "plain_steps", "compiled_steps", "precision"}
FOLDERS = {"data_folder", "checkpoint_folder"}

FLOAT = 4  # bytes
LEAST_BETA = 0.001
# Inputs that `over-training` tests on, and those of its linear theory.
LIFETIME_TEST, LIFETIME_THEORY = 4000, 8000
# From none, over equation (T) read with sigma_A = log log d at d = 64 and 100 and without the root of d, to 4.
DIAGONALS = [0.0, 0.18, 0.5, 1.0, 1.53, 2.0, 3.0, 4.0]

Patches = Annotated[int, Field(ge=2, description="patches, D")]
SetSize = Annotated[int, Field(ge=2, description="patches in a set, C; divides num_patches")]
PatchDim = Annotated[int, Field(ge=2, description="dimension of a patch, d")]
DistractorProb = Annotated[
    float, Field(ge=0, le=1, description="chance q that a patch outside the informative set carries ±w*")
]
TrainSize = Annotated[int, Field(ge=1, description="training samples, N")]
TestSize = Annotated[int, Field(ge=1, description="test samples")]
StepOfValue = Annotated[float, Field(ge=0, description="step size of the value vector v")]
StepOfAttention = Annotated[
    float, Field(ge=0, description="step size of each entry of the attention logits A")
]
Diagonal = Annotated[float, Field(description="sigma_A / sqrt(d): the held diagonal that the softmax sees")]
Diagonals = Annotated[list[float], Field(min_length=1, description="values of the held diagonal, likewise")]
Iterations = Annotated[int, Field(ge=1, description="iterations of the descent")]
Every = Annotated[int, Field(ge=1, description="iterations between two measurements")]
Sizes = list[Annotated[int, Ge(1)]]
Precision = Annotated[
    Literal["auto", "32-true", "bf16-mixed"],
    Field(description="auto is bf16-mixed where the GPU or processor has it"),
]


def without_repetition(parameters: Mapping[str, object]) -> dict[str, object]:
    """The parameters in which two repetitions of one experiment agree."""
    return {name: value for name, value in parameters.items() if name not in REPETITION}


class GridSettings(Settings):
    """Sets that are squares of a grid."""

    grid_side: int = Field(4, ge=2, description="patches along a side of the grid; D is its square")
    block: int = Field(
        2, ge=1, description="patches along a side of a localized set, C is its square; divides grid_side"
    )

    @model_validator(mode="after")
    def sets_tile_the_grid(self):
        side, block = self.grid_side, self.block
        fits = block < side and side % block == 0
        nearest = nearest_divisor(side, min(block, side // 2))
        need(fits, "block", block, f"a divisor of grid_side = {shown(side)}, below it,", nearest)
        return self


class StructureSettings(GridSettings):
    num_seeds: int = Field(5, ge=1, description="independent repetitions")
    grid_side: int = Field(8, ge=2, description="patches along a side of the grid; D is its square")
    patch_dim: PatchDim = 64
    distractor_prob: DistractorProb = 0.25
    num_samples: int = Field(4000, ge=4, description="inputs drawn in each repetition; four are shown")

    def memory_bytes(self) -> int:
        return 3 * FLOAT * self.num_samples * self.grid_side**2 * self.patch_dim


class SetsSettings(Settings):
    """The partition and the distractors: all that the idealized process sees of the distribution."""

    least_sets: ClassVar[int] = 1  # 2 where a shortcut leads from each set to another
    num_seeds: int = Field(3, ge=1, description="independent repetitions")
    num_patches: Patches = 64
    set_size: SetSize = 4
    distractor_prob: DistractorProb = 0.25

    @model_validator(mode="after")
    def sets_of_one_size(self):
        patches, size, most = self.num_patches, self.set_size, self.num_patches // self.least_sets
        needed = f"a divisor of num_patches = {shown(patches)}{', below it,' if most < patches else ''}"
        nearest = nearest_divisor(patches, min(size, most), least=2)
        fits = size <= most and patches % size == 0
        need(fits, "set_size", size, needed, nearest if nearest <= most else None)
        return self

    def patterns_bytes(self, samples: int) -> int:
        """Bytes of so many inputs as counts of patterns, and of what an idealized iteration makes of them."""
        patterns = (self.set_size + 1) * (self.set_size + 2) // 2
        totals = min(samples, 2 * self.num_patches + 1)
        return 8 * patterns * (2 * samples + 12 * totals)


class DistributionSettings(SetsSettings):
    patch_dim: PatchDim = 16

    def patches_bytes(self, samples: int) -> int:
        """Bytes of the patches of so many inputs."""
        return FLOAT * samples * self.num_patches * self.patch_dim


class ActivationSettings(Settings):
    degree: int = Field(3, ge=3, le=99, description="degree p of the activation x^p + nu x; odd")
    linear_coefficient: float = Field(0.03, ge=0, description="nu of the activation")

    @model_validator(mode="after")
    def odd_degree(self):
        need(self.degree % 2, "degree", self.degree, "an odd number", self.degree + 1)
        return self


class LinearFailsSettings(DistributionSettings):
    num_samples: int = Field(8000, ge=2, description="inputs to fit the linear networks, as many to test")

    def memory_bytes(self) -> int:
        weights = self.num_patches * self.patch_dim
        return 4 * self.patches_bytes(self.num_samples) + 2 * FLOAT * weights**2


class ShortcutExistsSettings(DistributionSettings, ActivationSettings):
    least_sets: ClassVar[int] = 2
    num_samples: int = Field(8000, ge=2, description="inputs on which both models are tested")

    def memory_bytes(self) -> int:
        return self.patches_bytes(self.num_samples) + 4 * FLOAT * self.num_patches**2


class IdealizedSettings(SetsSettings, ActivationSettings):
    diagonal: Diagonal = 1.0
    lr_value: StepOfValue = 0.001
    lr_attention: StepOfAttention = 100.0
    steps: Iterations = 2000
    batch_samples: int = Field(1024, ge=1, description="fresh draws that estimate the risk in an iteration")

    def memory_bytes(self) -> int:
        return self.patterns_bytes(self.batch_samples) + 8 * 5 * self.steps * self.num_seeds


class EventsSettings(SetsSettings, ActivationSettings):
    least_sets: ClassVar[int] = 2  # rho is a number of its own

    diagonal: Diagonal = 1.0
    lr_value: StepOfValue = 0.001
    lr_attention: StepOfAttention = 100.0
    flow_inputs: int = Field(4096, ge=1, description="inputs that stand for the population in the flow")
    step_ratios: list[Annotated[float, Gt(0)]] = Field(
        [10.0**power for power in range(2, 11)],
        min_length=1,
        description="ratios lr_attention / lr_value of the map, ascending",
    )

    @model_validator(mode="after")
    def ratios_ascend_and_both_move(self):
        ratios, ascending = self.step_ratios, sorted(set(self.step_ratios))
        need(ratios == ascending, "step_ratios", ratios, "a list of ascending ratios", ascending)
        for name in ("lr_value", "lr_attention"):
            step = getattr(self, name)
            need(step > 0, name, step, "float, > 0, for the ratio of steps,", "above 0")
        return self

    def memory_bytes(self) -> int:
        """The inputs; of each flow some 300 points of five numbers."""
        flows = self.num_seeds * (len(self.step_ratios) + 1)
        return self.patterns_bytes(self.flow_inputs) + 8 * 5 * 300 * flows


class StartSettings(Settings):
    """Where a realistic descent starts."""

    init_value: float = Field(0.001, ge=0, description="standard deviation of the entries of v at the start")
    init_attention: float = Field(
        0.001, ge=0, description="standard deviation of the attention logits at the start"
    )


class OverTrainingSettings(SetsSettings, ActivationSettings, StartSettings):
    """How long association lasts, by the diagonal: without noise, on a fixed sample and on ever new ones."""

    num_patches: Patches = 32
    distractor_prob: DistractorProb = 0.4
    lr_value: StepOfValue = 0.001
    lr_attention: StepOfAttention = 50.0
    diagonals: Diagonals = Field(DIAGONALS)
    lifetime_steps: int = Field(4000, ge=10, description="iterations to follow association for")
    lifetime_samples: int = Field(2000, ge=1, description="inputs of the fixed sample, and of each new one")

    def memory_bytes(self) -> int:
        """The descents, with inputs as drawn and as stacked; or the linear theory, with second derivatives."""
        patches = self.num_patches
        inputs = 4 * (self.lifetime_samples + LIFETIME_TEST)
        descents = FLOAT * self.num_seeds * patches * (inputs + 6 * patches)
        path = self.patterns_bytes(1024) + 8 * 5 * self.lifetime_steps
        return max(descents, path + 8 * 40 * LIFETIME_THEORY * patches)


class DiagonalSettings(DistributionSettings, ActivationSettings, StartSettings):
    """Which set each row finds, by the diagonal, the step of A and N."""

    num_patches: Patches = 32
    distractor_prob: DistractorProb = 0.4
    num_test: TestSize = 4000
    lr_value: StepOfValue = 0.001
    steps: Iterations = 120
    diagonals: Diagonals = Field(DIAGONALS)
    attention_steps: list[Annotated[float, Gt(0)]] = Field(
        [50.0], min_length=1, description="step sizes of each entry of the attention logits A"
    )
    training_sizes: Sizes = Field([2000], min_length=1, description="training samples, N")

    def memory_bytes(self) -> int:
        patches = self.patches_bytes(max(self.training_sizes) + self.num_test)
        found = 4 * 8 * len(self.training_sizes) * len(self.attention_steps) * len(self.diagonals)
        return self.num_seeds * (patches + 6 * FLOAT * self.num_patches**2 + found)


def halves(count: int) -> list[int]:
    """`count` halved one to five times, ascending, each at least 1."""
    return sorted({max(1, count // 2**power) for power in range(1, 6)})


class RealisticSettings(DistributionSettings, ActivationSettings, StartSettings):
    num_patches: Patches = 32
    patch_dim: PatchDim = 64
    distractor_prob: DistractorProb = 0.4
    diagonal: Diagonal = 1.0
    num_samples: TrainSize = 8000
    num_test: TestSize = 4000
    lr_value: StepOfValue = 0.001
    lr_attention: StepOfAttention = 50.0
    steps: int = Field(120, ge=1, description="iterations at which training should stop")
    overtrain_steps: int = Field(
        600, ge=1, description="iterations to go on to, to see what over-training does; at least steps"
    )
    record_every: Every = 10
    sample_sizes: Sizes = Field(
        default_factory=lambda before: halves(before.get("num_samples", 1)),
        min_length=1,
        description="smaller training sets of the sweep, at most num_samples; by default its halves",
    )

    @model_validator(mode="after")
    def goes_on_and_has_the_samples(self):
        steps, longer, most = self.steps, self.overtrain_steps, self.num_samples
        need(longer >= steps, "overtrain_steps", longer, f"at least steps = {shown(steps)}", steps)
        smaller = max(self.sample_sizes) <= most
        need(smaller, "sample_sizes", self.sample_sizes, f"at most num_samples = {shown(most)} in each", most)
        return self

    def memory_bytes(self) -> int:
        frames = 1 + self.overtrain_steps
        frames += len(self.sample_sizes) * (2 + self.steps // self.record_every)
        each = self.patches_bytes(self.num_samples + self.num_test) + FLOAT * frames * self.num_patches**2
        return self.num_seeds * each


class TransferSettings(DistributionSettings, ActivationSettings):
    least_sets: ClassVar[int] = 2
    num_patches: Patches = 32
    patch_dim: PatchDim = 64
    distractor_prob: DistractorProb = 0.4
    num_samples: int = Field(8000, ge=1, description="pretraining samples")
    num_test: TestSize = 4000
    lr_value: StepOfValue = 0.001
    lr_attention: StepOfAttention = 50.0
    steps: int = Field(120, ge=1, description="iterations, both in pretraining and downstream")
    step_scales: list[Annotated[float, Gt(0)]] = Field(
        [1.0, 0.3, 0.1], min_length=1, description="factors of both step sizes: one is chosen on validation"
    )
    sample_sizes: Sizes = Field(
        [3, 10, 30, 100, 300, 1000, 3000], min_length=1, description="downstream samples"
    )

    def memory_bytes(self) -> int:
        downstream = 2 * self.patches_bytes(max(self.sample_sizes) + self.num_test)
        models = 6 * len(self.sample_sizes) * FLOAT * self.num_patches**2
        return self.num_seeds * max(self.patches_bytes(self.num_samples), downstream + models)


class FormsSettings(GridSettings, ActivationSettings):
    """Descents with logits of several forms and two optimizers, on Gaussian and on structured patches."""

    num_seeds: int = Field(2, ge=1, description="independent repetitions")
    patch_dim: PatchDim = 16
    num_samples: TrainSize = 5000
    num_test: TestSize = 4000
    label_linear: float = Field(
        4.0, ge=0, description="weight of the linear part in the labels' activation; the pure cubic has 0"
    )
    lr_value: StepOfValue = 0.001
    lr_attention: StepOfAttention = 10.0
    lr_encoding: float = Field(1.0, ge=0, description="step size of an entry of P, where A = P^T P")
    lr_adam: float = Field(0.01, ge=0, description="Adam's learning rate, for all parameters")
    ranks: Sizes = Field(
        [16, 8, 4], min_length=1, description="rows of P, where A = P^T P; the first is judged"
    )
    steps: int = Field(200, ge=1, description="iterations of each descent of the study")

    def memory_bytes(self) -> int:
        patches = self.num_seeds * (self.num_samples + self.num_test) * self.grid_side**2
        return FLOAT * patches * (self.patch_dim + 8)


class GaussianSettings(FormsSettings):
    """Figure 2: one course as the paper draws it, and a study of what decides over association."""

    figure_lr_value: float = Field(0.01, ge=0, description="step size of v in the figure's course")
    figure_lr_attention: float = Field(
        1.0, ge=0, description="step size of an entry of A in the figure's course"
    )
    figure_steps: int = Field(1000, ge=20, description="iterations of the figure's course")


class SamplesNeededSettings(ActivationSettings):
    num_seeds: int = Field(2, ge=1, description="repetitions at each D")
    num_patches: list[Annotated[int, Ge(2)]] = Field(
        [64, 96], min_length=1, description="D, two values or more"
    )
    set_size: int = Field(4, ge=2, description="patches in a set, C, at every D")
    patch_dim: PatchDim = 64
    linear_error: float = Field(0.118, gt=0, description="error of the linear rule, which fixes q at each D")
    samples_per_patch: Sizes = Field(
        [4, 8, 16], min_length=1, description="samples from scratch, in multiples of D, ascending"
    )
    downstream_sizes: Sizes = Field(
        [1, 2, 3, 4, 6, 8], min_length=1, description="samples where attention is given, ascending"
    )
    downstream_draws: int = Field(
        6, ge=1, description="downstream tasks of each repetition, each with its own feature"
    )
    num_validation: int = Field(1000, ge=1, description="inputs on which steps are chosen")
    num_test: int = Field(1000, ge=1, description="test inputs of each trained model")
    budget: Sizes = Field(
        [300, 400], min_length=1, description="iterations at most from scratch, one number a D"
    )
    downstream_budget: int = Field(100, ge=2, description="iterations at most where attention is given")
    record_every: int = Field(20, ge=1, description="iterations from scratch between two looks at validation")
    lr_value_scales: list[Annotated[float, Gt(0)]] = Field(
        [1.0],
        min_length=1,
        description="step sizes of v from scratch, times D²: one is chosen on validation",
    )
    lr_attention_scales: list[Annotated[float, Gt(0)]] = Field(
        [0.1],
        min_length=1,
        description="step sizes of each entry of the attention logits A, over D²: likewise",
    )
    max_moves: list[Annotated[float, Gt(0)]] = Field(
        [1.5], min_length=1, description="largest change of a logit in one iteration: likewise"
    )
    downstream_lr_scales: list[Annotated[float, Gt(0)]] = Field(
        [1.0, 10.0],
        min_length=1,
        description="step sizes of v where attention is given, times D²: one is chosen on validation",
    )
    checkpoint_folder: str = Field(
        "", description="folder from which a run that was cut off goes on; empty keeps none"
    )

    @model_validator(mode="after")
    def one_number_a_size(self):
        count, patches = len(self.num_patches), self.num_patches
        different = len(set(patches)) >= max(2, count)
        need(different, "num_patches", patches, "two different values or more, each once,")
        whole = all(size % self.set_size == 0 for size in patches)
        need(whole, "num_patches", patches, f"a multiple of set_size = {shown(self.set_size)} in each place")
        need(
            len(self.budget) == count,
            "budget",
            self.budget,
            f"a list of {count}, one for each of num_patches,",
        )
        for name in ("samples_per_patch", "downstream_sizes"):
            sizes, ascending = getattr(self, name), sorted(set(getattr(self, name)))
            need(sizes == ascending, name, sizes, "a list of ascending sizes", ascending)
        return self

    def memory_bytes(self) -> int:
        largest = max(self.num_patches)
        scratch = self.samples_per_patch[-1] * largest * self.patch_dim
        downstream = self.downstream_draws * (
            2 * self.downstream_sizes[-1] * self.patch_dim + 4 * (self.num_validation + self.num_test)
        )
        return FLOAT * largest * max(scratch, downstream)


class ImagesSettings(Settings):
    """The four data sets of images, the locality of encodings, and permuted patches: chapters 05, 06 and 07."""

    num_seeds: int = Field(
        2, ge=1, description="repetitions, each with its own initialization and order of the images"
    )
    dataset: str = Field(
        "digits",
        min_length=1,
        description="digits (part of scikit-learn), cifar10, cifar100, svhn, imagefolder (data_folder itself), or a "
        "folder of class folders, such as svhn-1083 or tiny-imagenet-50",
    )
    data_folder: str = Field(
        "", description="folder of the data; empty reads the environment variable SPATIAL_DATA, else data/"
    )
    download: bool = Field(False, description="whether torchvision may fetch what is missing")
    train_limit: int = Field(0, ge=0, description="training images, balanced over the classes; 0 takes all")
    image_size: int = Field(16, ge=2, description="pixels along a side")
    eval_split: Literal["test", "validation"] = Field(
        "test", description="images to measure trained models on; settings are chosen on validation"
    )
    patch_size: int = Field(2, ge=1, description="pixels along a side of a patch; divides image_size")
    embed_dim: int = Field(48, ge=4, description="width of the tokens")
    depth: int = Field(2, ge=1, description="layers")
    num_heads: int = Field(4, ge=1, description="attention heads; divides embed_dim")
    mlp_dim: int = Field(96, ge=4, description="hidden width of the MLPs")
    add_encoding: bool = Field(
        False,
        description="a variant: add the encodings to the tokens of the positional model too, so that values see them",
    )
    permute: bool = Field(
        True, description="train on images with permuted patches too, and a convolutional net as the control"
    )
    epochs: int = Field(8, ge=1, description="passes over the training images")
    batch_size: int = Field(64, ge=1, description="images in a step")
    learning_rate: float = Field(0.005, gt=0, le=100, description="AdamW's, at the end of the warmup")
    weight_decay: float = Field(0.05, ge=0, description="AdamW's")
    warmup_epochs: float = Field(1.0, ge=0, description="linear rise of the learning rate")
    gradient_clip: float = Field(1.0, ge=0, description="largest norm of a gradient; 0 for no limit")
    label_smoothing: float = Field(
        0.0, ge=0, le=0.9, description="share of each label spread over all classes"
    )
    policy: Literal["none", "autoaugment", "randaugment"] = Field(
        "none", description="augmentation beside crop and flip"
    )
    resized_crop: float = Field(
        0.0, ge=0, le=1, description="smallest share of the area drawn for a random crop; 0 crops by shifting"
    )
    mixup: float = Field(0.0, ge=0, le=1000, description="parameter of mixup's Beta distribution; 0 for none")
    cutmix: float = Field(0.0, ge=0, le=1000, description="likewise of CutMix")
    precision: Precision = "auto"
    plain_steps: bool = Field(
        False, description="take each step operation by operation, where a GPU would replay a recorded one"
    )
    compiled_steps: bool = Field(
        False,
        description="take steps through torch.compile: a minute to begin, then faster; needs a C++ compiler",
    )
    checkpoint_folder: str = Field(
        "", description="folder from which a training that was cut off goes on; empty keeps none"
    )

    @model_validator(mode="after")
    def whole_patches_and_heads(self):
        for name, whole_name in (("patch_size", "image_size"), ("num_heads", "embed_dim")):
            part, whole = getattr(self, name), getattr(self, whole_name)
            nearest = nearest_divisor(whole, part)
            need(whole % part == 0, name, part, f"a divisor of {whole_name} = {shown(whole)}", nearest)
        both = self.plain_steps and self.compiled_steps
        need(not both, "compiled_steps", True, "False where plain_steps is True", False)
        for name in ("mixup", "cutmix"):  # a draw from the Beta distribution is not a number for less
            share = getattr(self, name)
            need(not 0 < share < LEAST_BETA, name, share, f"0 or at least {LEAST_BETA}", LEAST_BETA)
        return self

    def memory_bytes(self) -> int:
        """Weights, gradients and AdamW's two moments; one batch's activations in two bytes; similarities; an image."""
        tokens = 1 + (self.image_size // self.patch_size) ** 2
        width, models = self.embed_dim, self.num_seeds * (2 if self.permute else 1)
        weights = self.depth * width * (4 * width + 2 * self.mlp_dim) + tokens * width
        batch = 2 * self.batch_size * tokens * self.depth * (6 * width + self.mlp_dim)
        similarities = FLOAT * self.epochs * tokens**2
        images = 3 * self.image_size**2 * self.batch_size
        return models * (4 * FLOAT * weights + batch + similarities) + images


class LocalitySettings(ImagesSettings):
    """Chapter 08: what encodings learn on permuted patches, and Figure 5a: accuracy against the side of a block."""

    num_seeds: int = Field(
        1, ge=1, description="repetitions, each with its own initialization and order of the images"
    )
    block_sides: list[int] = Field(
        [],
        max_length=16,
        description="pixels along a side of the permuted blocks, up to image_size; empty: a patch's, then doubled",
    )

    @model_validator(mode="after")
    def whole_blocks(self):
        sides, size = self.block_sides, self.image_size
        for side in sides:
            nearest = nearest_divisor(size, max(side, 1))
            need(
                0 < side <= size and size % side == 0,
                "block_sides",
                side,
                f"a divisor of image_size = {shown(size)}",
                nearest,
            )
        whole = sorted({*sides, size})
        need(
            not sides or (sides == whole and len(sides) > 1),
            "block_sides",
            sides,
            f"an ascending list that ends with image_size = {shown(size)}",
            whole,
        )
        return self


class PretrainedSettings(Settings):
    pretrained: str = Field(
        "", description="file of the weights of vit_small_patch32_224, or download; empty shows none"
    )


def _largest(settings: Settings) -> int:
    return max(kind.memory_bytes(settings) for kind in type(settings).__bases__)


class TheorySettings(LinearFailsSettings, ShortcutExistsSettings, IdealizedSettings, EventsSettings):
    """Chapter 02: four claims on one distribution."""

    memory_bytes = _largest


class TrainingSettings(RealisticSettings, IdealizedSettings, OverTrainingSettings, DiagonalSettings):
    """Chapter 03: the realistic descent, the idealized one drawn beside it, and what the diagonal decides."""

    memory_bytes = _largest


class ImagenetSettings(ImagesSettings, PretrainedSettings):
    """Chapter 07: ImageNet, and the paper's picture from pretrained weights."""
