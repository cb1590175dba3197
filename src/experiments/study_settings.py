"""Every parameter of the studies beyond the paper: name, type, range, default and meaning; see `settings`."""

from math import lcm
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from pydantic import Field, model_validator

from src.common.choices import nearest_divisor, one_of, shown
from src.experiments.base import Settings, need
from src.experiments.settings import (
    FLOAT,
    ActivationSettings,
    Diagonal,
    DistractorProb,
    FormsSettings,
    ImagesSettings,
    Iterations,
    PatchDim,
    Precision,
    Sizes,
    StepOfAttention,
    StepOfValue,
    TestSize,
    TrainSize,
)

KINDS = ("none", "learned", "sinusoid_1d", "sinusoid_2d", "positional")  # of encodings


class ParameterizationSettings(FormsSettings):
    """Whether a form of the logits favours association, where the error is the same."""

    num_seeds: int = Field(4, ge=1, description="independent repetitions")
    steps: int = Field(300, ge=1, description="iterations of each descent")
    equal_error: float = Field(0.04, gt=0, lt=0.5, description="test error at which forms are compared")

    def memory_bytes(self) -> int:
        every_step = (self.steps + 1) * self.num_seeds * (self.grid_side**4 + self.patch_dim)
        return super().memory_bytes() + FLOAT * every_step


class OverlappingSettings(ActivationSettings):
    """Sets that overlap, differ in size and miss patches."""

    num_seeds: int = Field(3, ge=1, description="independent repetitions")
    num_patches: int = Field(16, ge=3, description="patches, D")
    num_sets: int = Field(12, ge=1, description="sets, each drawn from all patches, L")
    smallest: int = Field(3, ge=1, description="patches of the smallest set; where all are equal, the middle")
    largest: int = Field(8, ge=1, description="patches of the largest set, at most num_patches")
    patch_dim: PatchDim = 16
    distractor_prob: DistractorProb = 0.3
    miss_prob: float = Field(0.2, ge=0, le=1, description="chance that a patch of the set misses the feature")
    num_samples: TrainSize = 8000
    num_test: TestSize = 4000
    diagonal: Diagonal = 1.0
    lr_value: StepOfValue = 0.001
    lr_attention: StepOfAttention = 50.0
    steps: Iterations = 200

    @model_validator(mode="after")
    def sizes_ascend(self):
        low, high, most = self.smallest, self.largest, self.num_patches
        need(high <= most, "largest", high, f"at most num_patches = {shown(most)}", most)
        need(low <= high, "smallest", low, f"at most largest = {shown(high)}", high)
        return self

    def memory_bytes(self) -> int:
        each = self.num_patches * (self.num_samples * (self.patch_dim + 4) + self.steps * self.num_patches)
        return 2 * FLOAT * self.num_seeds * each + self.num_sets * self.num_patches


class PhaseSettings(ActivationSettings):
    """Two maps: set size by q at one D and N, and D by N at one set size and q."""

    num_seeds: int = Field(2, ge=1, description="repetitions of each point")
    num_patches: int = Field(24, ge=2, description="patches of the first map, D")
    set_sizes: list[Annotated[int, Ge(2)]] = Field(
        [2, 3, 4, 6, 8], min_length=1, description="patches in a set of the first map, C, divisors of D"
    )
    distractor_probs: list[Annotated[float, Ge(0), Le(1)]] = Field(
        [0.05, 0.2, 0.4, 0.6, 0.8], min_length=1, description="chances q of the first map"
    )
    num_samples: int = Field(1000, ge=1, description="training samples of the first map, N")
    patch_counts: list[Annotated[int, Ge(2)]] = Field(
        [16, 32], min_length=1, description="patches of the second map, D, ascending"
    )
    training_sizes: Sizes = Field(
        [125, 500, 2000], min_length=2, description="training samples of the second map, N"
    )
    set_size: int = Field(4, ge=2, description="patches in a set of the second map, C")
    distractor_prob: float = Field(0.4, ge=0, le=1, description="chance q of the second map")
    patch_dim: PatchDim = 16
    num_test: TestSize = 2000
    diagonal: Diagonal = 1.0
    lr_value: float = Field(0.001, ge=0, description="step size of v at D = 32; elsewhere times (32 / D)²")
    lr_attention: float = Field(
        50.0, ge=0, description="step size of each entry of the logits A at D = 32; elsewhere times (D / 32)²"
    )
    steps: Iterations = 200

    @model_validator(mode="after")
    def sets_of_one_size(self):
        patches, sizes = self.num_patches, self.set_sizes
        fit = all(patches % size == 0 for size in sizes)
        need(fit, "set_sizes", sizes, f"divisors of num_patches = {shown(patches)} in each")
        counts, size = self.patch_counts, self.set_size
        fit = all(count % size == 0 for count in counts)
        need(fit, "patch_counts", counts, f"multiples of set_size = {shown(size)} in each")
        need(counts == sorted(set(counts)), "patch_counts", counts, "a list of ascending values")
        return self

    def memory_bytes(self) -> int:
        patches = max(self.num_patches, *self.patch_counts)
        samples = max(self.num_samples, *self.training_sizes) + self.num_test
        return FLOAT * self.num_seeds * patches * (2 * samples * self.patch_dim + self.steps * patches)


class SequentialSettings(Settings):
    """SeqPE's encoder and its contrastive loss, from a small grid to a large one."""

    num_seeds: int = Field(1, ge=1, description="independent repetitions")
    side: int = Field(8, ge=3, description="places along a side of the grid that is trained")
    large_side: int = Field(16, ge=3, description="likewise of the grid that is tested, at least side")
    embed_dim: int = Field(64, ge=2, description="width of the encodings")
    depth: int = Field(2, ge=1, description="layers of the encoder")
    num_heads: int = Field(4, ge=1, description="attention heads; divides embed_dim")
    pivots: int = Field(64, ge=1, description="places in a step that look for their nearest")
    candidates: int = Field(32, ge=2, description="places among which each looks")
    learning_rate: float = Field(0.001, gt=0, le=100, description="Adam's")
    steps: int = Field(60, ge=1, description="training steps of each encoder")

    @model_validator(mode="after")
    def small_in_large(self):
        side, large = self.side, self.large_side
        need(side <= large, "side", side, f"at most large_side = {shown(large)}", large)
        width, heads = self.embed_dim, self.num_heads
        nearest = nearest_divisor(width, heads)
        need(width % heads == 0, "num_heads", heads, f"a divisor of embed_dim = {shown(width)}", nearest)
        return self

    def memory_bytes(self) -> int:
        tokens = self.large_side**2 * 2 * len(f"{self.large_side:b}")
        return FLOAT * (tokens * self.depth * 12 * self.embed_dim + self.large_side**4)


class ProbesSettings(ImagesSettings):
    """Neighbours' measures of spatial structure, of both attentions on plain and on permuted patches."""

    permute: bool = Field(True, description="train on images with permuted patches too")
    probe_images: int = Field(
        300, ge=2, description="images to fit a readout of positions on, and as many to measure with"
    )
    drop_share: float = Field(
        0.75, gt=0, lt=1, description="share of an image's patches whose encodings are dropped"
    )

    @model_validator(mode="after")
    def pairs_far_apart(self):
        size, least = self.image_size, 4 * self.patch_size
        needed = f"at least 4 * patch_size = {shown(least)}, for patches 6 apart,"
        need(size >= least, "image_size", size, needed, least)
        return self


class CellsSettings(Settings):
    """Three coloured cells on a grid, and the models that are asked how they lie."""

    num_seeds: int = Field(1, ge=1, description="independent repetitions")
    grid_side: int = Field(6, ge=4, le=20, description="cells along a side of the grid; each is a patch")
    kinds: list[str] = Field(
        ["learned", "sinusoid_2d"],
        min_length=1,
        description="where models have positions from, of none, learned, sinusoid_1d, sinusoid_2d, positional",
    )
    embed_dim: int = Field(32, ge=4, description="width of the tokens, a multiple of 4 and of num_heads")
    depth: int = Field(2, ge=1, description="blocks")
    num_heads: int = Field(4, ge=1, description="attention heads of a block")
    mlp_dim: int = Field(128, ge=1, description="hidden width of the MLP of a block")
    steps: int = Field(250, ge=1, description="steps of AdamW, each on inputs of its own")
    batch_size: int = Field(32, ge=1, description="inputs of a step")
    learning_rate: float = Field(0.003, gt=0, description="at its highest: it warms up, then falls to 0")
    num_test: TestSize = 300

    @model_validator(mode="after")
    def kinds_differ_and_heads_fit(self):
        for kind in self.kinds:
            one_of("kinds", kind, KINDS)
        need(len(set(self.kinds)) == len(self.kinds), "kinds", self.kinds, "a list of different kinds")
        unit = lcm(4, self.num_heads)
        nearest = unit * max(1, (2 * self.embed_dim + unit) // (2 * unit))
        need(self.embed_dim % unit == 0, "embed_dim", self.embed_dim, f"a multiple of {unit}", nearest)
        return self

    def memory_bytes(self) -> int:
        tokens, dim = self.grid_side**2 + 1, self.embed_dim
        each = tokens * (10 * dim + 2 * self.mlp_dim + 2 * self.num_heads * tokens)
        weights = 4 * dim * (4 * dim + 2 * self.mlp_dim)  # with their gradients and AdamW's memory
        blocks = self.depth * (max(self.batch_size, 250) * each + weights)
        return FLOAT * blocks + 24 * (self.steps * self.batch_size + self.num_test)


class AlgorithmsSettings(Settings):
    """Small transformers that compute on lists of numbers, asked about larger numbers than they were trained on."""

    num_seeds: int = Field(1, ge=1, description="independent repetitions, trained side by side")
    task: Literal["all", "sum", "min", "median", "sort", "subarray"] = Field(
        "min", description="what is computed"
    )
    length: int = Field(8, ge=1, description="numbers in a list, n; one token more is there to compute with")
    depth: int = Field(4, ge=1, description="layers")
    width: int = Field(64, ge=1, description="features of a token, a multiple of num_heads")
    num_heads: int = Field(2, ge=1, description="attention heads")
    train_range: float = Field(2.0, gt=0, description="training numbers lie between minus this and this")
    test_ranges: list[Annotated[float, Gt(0)]] = Field(
        [4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0],
        min_length=1,
        description="the same for test lists that reach outside, ascending; the last is judged",
    )
    num_samples: TrainSize = 30000
    num_test: TestSize = 1000
    batch_size: int = Field(16, ge=1, description="lists in a batch")
    steps: int = Field(300, ge=1, description="batches")
    learning_rate: float = Field(
        0.002, gt=0, description="Adam's at the start; it falls to zero as a half cosine"
    )

    @model_validator(mode="after")
    def sizes_fit(self):
        heads, width = self.num_heads, self.width
        need(
            width % heads == 0,
            "width",
            width,
            f"a multiple of num_heads = {shown(heads)}",
            max(1, width // heads) * heads,
        )
        ranges, least = self.test_ranges, self.train_range
        ascend = 1.01 * least <= ranges[0] and ranges == sorted(set(ranges))
        need(
            ascend,
            "test_ranges",
            ranges,
            f"ascending values from 1.01 train_range = {shown(1.01 * least)} on",
        )
        return self

    def memory_bytes(self) -> int:
        tokens = self.length + 1
        features = 2 * self.num_heads * (self.width + tokens) + 6 * self.width  # of a token in a layer
        kept = max(self.batch_size * self.depth, self.num_test) * tokens * features
        weights = 4 * self.depth * self.width * features
        nets = self.num_seeds * (5 if self.task == "all" else 1)
        return FLOAT * nets * (weights + kept + 2 * self.num_samples * self.length)


DISORDERS = ("in_place", "permuted", "by_class", "by_image", "warped")


class DisorderSettings(ImagesSettings):
    """What encodings learn where places no longer say where; without crop and flip, which mix places."""

    num_seeds: int = Field(1, ge=1, description="repetitions, each with its own start and permutations")
    conditions: list[str] = Field(
        [*DISORDERS], min_length=1, description=f"what is done to the patches, of {', '.join(DISORDERS)}"
    )
    turns: float = Field(0.75, ge=-4, le=4, description="full turns of the centre in the warped images")
    permute: bool = Field(False, description="false: the conditions say what is permuted")
    precision: Precision = "32-true"  # narrow models train faster so on a processor

    @model_validator(mode="after")
    def known_conditions_and_places_kept(self):
        known = set(self.conditions) <= set(DISORDERS) and len(set(self.conditions)) == len(self.conditions)
        need(known, "conditions", self.conditions, f"some of {', '.join(DISORDERS)}, each once,")
        kept = {"permute": False, "policy": "none", "resized_crop": 0.0, "mixup": 0.0, "cutmix": 0.0}
        for name, value in kept.items():
            why = f"{shown(value)}, for nothing but the condition may move patches,"
            need(getattr(self, name) == value, name, getattr(self, name), why, value)
        return self


class LayersSettings(Settings):
    """ViTs of several depths on pictures painted from the distribution of Assumption 1."""

    num_seeds: int = Field(
        1, ge=1, description="repetitions of each depth, each with its own sets and feature"
    )
    depths: list[Annotated[int, Ge(1)]] = Field(
        [2], min_length=1, description="layers of each ViT, ascending"
    )
    grid_side: int = Field(4, ge=2, description="patches along a side of a picture; D is its square")
    patch_size: int = Field(2, ge=1, description="pixels along a side of a patch; d is 3 times its square")
    set_size: int = Field(4, ge=2, description="patches in a set, C, anywhere in the picture; divides D")
    distractor_prob: DistractorProb = 0.6
    embed_dim: int = Field(48, ge=4, description="width of the tokens")
    num_heads: int = Field(4, ge=1, description="attention heads of a layer; divides embed_dim")
    mlp_dim: int = Field(96, ge=4, description="hidden width of the MLPs")
    num_train: int = Field(30000, ge=1, description="training pictures")
    epochs: Sizes = Field([1], min_length=1, description="passes over them, for each of depths its own")
    num_test: TestSize = 2000
    batch_size: int = Field(128, ge=1, description="pictures in a step")
    learning_rate: float = Field(0.003, gt=0, le=100, description="AdamW's, at the end of the warmup")
    warmup: float = Field(0.1, ge=0, le=1, description="share of the training in which the rate rises")
    precision: Precision = "auto"

    @model_validator(mode="after")
    def sizes_fit(self):
        patches, size, width = self.grid_side**2, self.set_size, self.embed_dim
        nearest = nearest_divisor(patches, size, least=2)
        need(patches % size == 0, "set_size", size, f"a divisor of grid_side² = {patches}", nearest)
        heads, nearest = self.num_heads, nearest_divisor(width, self.num_heads)
        need(width % heads == 0, "num_heads", heads, f"a divisor of embed_dim = {width}", nearest)
        most, count = self.num_train, len(self.depths)
        need(self.batch_size <= most, "batch_size", self.batch_size, f"at most num_train = {most}", most)
        one_each = len(self.epochs) == count
        need(one_each, "epochs", self.epochs, f"a list of {count}, one for each of depths,")
        ascending = sorted(set(self.depths))
        need(self.depths == ascending, "depths", self.depths, "a list of ascending values", ascending)
        return self

    def memory_bytes(self) -> int:
        """The pictures, as numbers and their noise; one batch's activations."""
        pixels = 3 * (self.grid_side * self.patch_size) ** 2
        pictures = 2 * FLOAT * max(self.num_train, self.num_test) * pixels
        tokens = self.batch_size * (1 + self.grid_side**2)
        return pictures + 2 * tokens * max(self.depths) * (6 * self.embed_dim + self.mlp_dim)


class GivenSettings(ImagesSettings):
    """Variants of a small ViT, trained on all images and on a share of them."""

    variants: list[str] = Field(
        ["content", "mask", "convolved", "mimetic", "positional", "free", "uniform"],
        min_length=1,
        description="which of them to train: content, mask, convolved, mimetic, positional, free, uniform",
    )
    share: float = Field(
        0.1, gt=0, le=1, description="of the images, for the smaller sample, with as many more epochs"
    )
    permute: bool = Field(False, description="not part of this study")
    epochs: int = Field(1, ge=1, description="passes over all images")
    warmup_epochs: float = Field(0.1, ge=0, description="linear rise of the learning rate, of all images")

    @model_validator(mode="after")
    def known_variants(self):
        known = GivenSettings.model_fields["variants"].default
        whole = len({*self.variants}) == len(self.variants) and {*self.variants} <= {*known}
        need(whole, "variants", self.variants, f"some of {', '.join(known)}, each once,")
        for name in ("permute", "add_encoding"):
            need(not getattr(self, name), name, True, "false, in this study,", False)
        return self

    @model_validator(mode="after")
    def sizes_fit_the_variants(self):
        side, width, convolved = self.patch_size, self.embed_dim, "convolved" in self.variants
        power = side > 1 and side & (side - 1) == 0
        need(power or not convolved, "patch_size", side, "a power of two from 2 on", 4)
        unit = lcm(self.num_heads, 4 if "mimetic" in self.variants else 1)
        least = side // 2 if convolved else 1  # channels are halved down to one
        nearest = unit * max(-(-least // unit), (2 * width + unit) // (2 * unit))
        need(width % unit == 0, "embed_dim", width, "a multiple of 4, for mimetic,", nearest)
        needed = f"at least half of patch_size = {shown(side)}, for convolved,"
        need(width >= least, "embed_dim", width, needed, nearest)
        return self
