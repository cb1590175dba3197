"""Every parameter of the studies beyond the paper: name, type, range, default and meaning; see `settings`."""

from typing import Annotated

from annotated_types import Ge, Le
from pydantic import Field, model_validator

from src.common.choices import shown
from src.experiments.base import need
from src.experiments.settings import (
    FLOAT,
    ActivationSettings,
    Diagonal,
    DistractorProb,
    FormsSettings,
    ImagesSettings,
    Iterations,
    PatchDim,
    Sizes,
    StepOfAttention,
    StepOfValue,
    TestSize,
    TrainSize,
)


class ParameterizationSettings(FormsSettings):
    """Whether a form of the logits favours association, where the error is the same."""

    num_seeds: int = Field(4, ge=1, description="independent repetitions")
    steps: int = Field(300, ge=1, description="iterations of each descent")
    equal_error: float = Field(0.04, gt=0, lt=0.5, description="test error at which forms are compared")


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
        side = self.patch_size
        power = side > 1 and side & (side - 1) == 0
        need(power or "convolved" not in self.variants, "patch_size", side, "a power of two from 2 on", 4)
        return self
