"""The paper's claims, in its words, with the rule of each; after them the hypotheses beyond the paper."""

from src.common.choices import one_of
from src.evidence.hypotheses import HYPOTHESES
from src.evidence.paper_figures import paper_figure
from src.evidence.statements import (
    FIRST,
    FOURTH,
    LAPTOP_SCALE,
    MODELS,
    PAPER_SCALE,
    SECOND,
    SMALLER_SCALES,
    Claim,
    Statement,
    least,
    most,
)
from src.experiments.resolve import SCALES

PLATEAU = "the theorem's conclusion, up to the 1 % that a finite run may miss"
CHANCE = "the same random encodings: chance is 0 ± 0.05"
LOCAL = "far outside the chance level, 0 ± 0.05 over random encodings of this many patches"
MANTEL = "a Mantel test of each repetition; 999 permutations cannot give less than 0.001"

# Name, chapter, bounds of the gap, vanilla minus positional, and the accuracy below which a comparison at a smaller
# scale says nothing: on 50 or 100 classes ten times chance.
SIMILAR = {
    "cifar10": ("CIFAR-10", "05_cifar", (-0.010, 0.010), 0.5),
    "cifar100": ("CIFAR-100", "05_cifar", (-0.010, 0.010), 0.1),
    "svhn": ("SVHN", "06_svhn", (-0.005, 0.020), 0.3),
    "imagenet": ("ImageNet", "07_imagenet", (0.020, 0.040), 0.2),
}
DATA = {
    "cifar10": dict.fromkeys(SCALES, ("cifar10",)),
    "cifar100": dict.fromkeys(SCALES, ("cifar100",)),
    "svhn": dict.fromkeys(SMALLER_SCALES, ("svhn-1083",)) | {"paper": ("svhn",)},
    "imagenet": dict.fromkeys(SMALLER_SCALES, ("tiny-imagenet-50",)) | {"paper": ("imagefolder",)},
}
IMAGENET_FIRST = ("imagenet", "cifar10", "cifar100", "svhn")  # the paper draws encodings trained on ImageNet
ON_IMAGES = ("pe-locality", "permuted", *(f"positional-{key}" for key in SIMILAR))

# Tables, two lines a statement: the formatter would give each argument its own.
# fmt: off


def _local(suffix: str = "") -> tuple[Statement, ...]:
    """Encodings random before training and local after it, in both models."""
    start = Statement(f"locality_before_content{suffix}", (-0.1, 0.1),
                      "Before training, nearness and similarity correlate by {}, in both models", CHANCE, SECOND,
                      "every", role="check")
    return start, *(
        Statement(metric + kind + suffix, within, f"{words} ({model})", reason, SECOND, over, opposite=opposite)
        for kind, model in MODELS.items()
        for metric, over, within, words, reason, opposite in (
            ("locality_", "mean", least(0.25), "After training they correlate by {}", LOCAL, None),
            ("mantel_p_", "every", most(0.01),
             "Shuffled patches fit this well with probability {}", MANTEL, ""),
        )
    )


def _similar(key: str) -> Claim:
    """Positional attention performs as well as vanilla attention, within the gap that the paper shows."""
    name, chapter, gap, floor = SIMILAR[key]
    if key == "imagenet":  # one run of each model in the paper, ten elsewhere
        over, figure, percent = "every", "Figure 6", paper_figure("6")["accuracy"]
    else:
        boxes = paper_figure("7")[key]
        over, figure, percent = "mean", "medians, Figure 7", {kind: boxes[kind][2] for kind in MODELS}
    printed = round(percent["content"] - percent["positional"], 2)
    kind = "an equivalence test" if over == "mean" else "each repetition by itself"
    test = f"{kind}, paired by seed; the paper's gap is {printed:+.2f} points"
    statements = (
        Statement("accuracy_gap", gap, "Vanilla minus positional accuracy is {}",
                  test, SECOND, over, "points", 0.9),
        Statement("accuracy_positional", least(floor), "Test accuracy is {} (positional attention)",
                  "far above chance: two models that learned nothing are alike too",
                  FOURTH if key == "imagenet" else SECOND, over, "%", scales=SMALLER_SCALES, role="check"),
        *(
            Statement(f"accuracy_{kind}", (round(percent[kind] - 1.5, 2) / 100, round(percent[kind] + 1.5, 2) / 100),
                      f"Test accuracy is {{}} ({model})", f"the paper's {percent[kind]} %, up to 1.5 points",
                      SECOND, over, "%", 0.9, PAPER_SCALE)
            for kind, model in MODELS.items()
        ),
    )
    behind = ", 3 points behind it" if key == "imagenet" else ""
    words = f"On {name} a ViT with positional attention performs similarly to the vanilla ViT{behind}."
    value = f"{percent['content']} % vanilla, {percent['positional']} % positional ({figure})"
    return Claim(f"positional-{key}", words, "S", chapter, value, statements, data=DATA[key])


THEORY = (
    Claim("structure", "Under Assumption 1 the labelling function recovers the label almost surely.",
          "S the class, R the function", "01_dataset", "almost surely", (
        Statement("labelling_accuracy", least(0.98), "The labelling function is right on {} of the inputs",
                  "errors need a full set of distractors; at C = 4 about 1 in 250", SECOND, "mean", "%"),
        Statement("excess_error", most(0.005), "Its error minus the union bound is {}",
                  "the union bound on full sets; five standard errors of a run of 4,000", SECOND, "mean", "points"),
    ), LAPTOP_SCALE),
    Claim("linear-fails", "Every generalized linear network errs with probability at least 1/8.",
          "R", "02_theory", "error ≥ 12.5 %", (
        Statement("error_exact", least(1 / 8), "Where q (D - C) = C² the linear rule errs on {}",
                  "our choice of q, where the bound holds by arithmetic: Φ(-1) is 15.9 %", SECOND, "every", "%",
                  role="check"),
        Statement("error_exact_authors", least(1 / 8), "In the setting that Figure 4 fits, it errs on {}",
                  "the same bound, at D = 10, C = 2, q = log(10) / 10", SECOND, "every", "%"),
        Statement("error_lowest_found_here", least(1 / 8), "In that of chapter 2 the best weights found err on {}",
                  "the bound again, exactly, for unequal weights too; q = 0.25 was chosen so that it holds",
                  SECOND, "every", "%", role="check"),
        Statement("error_least_squares", least(1 / 8), "Least squares errs there on {} of fresh inputs",
                  "the bound for what is fitted", FIRST, "every", "%"),
        Statement("error_logistic", least(1 / 8), "Logistic regression errs there on {} of fresh inputs",
                  "likewise", FIRST, "every", "%"),
    ), LAPTOP_SCALE),
    Claim("shortcut-exists",
          "A ViT exists that generalizes without patch association: each set attends to another set.",
          "S Theorem 3.2, R construction", "02_theory", "generalizes, no association", (
        Statement("agreement", least(0.999), "The shortcut and the model with association agree on {} of the inputs",
                  "equal in exact arithmetic; rounding may flip an undecided input", FIRST, "every", "%"),
        Statement("accuracy_shortcut", least(0.98), "It is right on {} of them",
                  "the level of the labelling function in this regime", SECOND, "mean", "%"),
        Statement("rows_associated", most(0.0), "{} of its rows are associated",
                  "not a single row has its whole set on top", FIRST, "every", "%"),
        Statement("rows_disjoint", least(1.0), "The C largest logits of {} of its rows lie outside their own set",
                  "as in Theorem 3.2, for free logits, the diagonal by its value; no Gram matrix is so in every row",
                  SECOND, "every", "%"),
    ), LAPTOP_SCALE),
    Claim("gaussian", "On Gaussian patches with convolutional labels the ViT generalizes without patch association:"
          " the data must be structured.", "S", "figures",
          "error about 6.5 % from 60 steps to 1,000, association at chance (Figure 2)", (
        Statement("error_end", (0.055, 0.075), "After 1,000 steps the test error is {}",
                  "the figure's 6.5 %, up to a point", SECOND, "mean", "%"),
        Statement("error_early", most(0.075), "By step 20 it is {}",
                  "as the figure's is by step 60", SECOND, "mean", "%"),
        Statement("association_figure", most(0.46), "Patch association is {} at the end",
                  "chance is 0.40; six hundredths more", SECOND),
        Statement("association_figure_structured", least(0.75), "By the same descent on structured data it is {}",
                  "the control, as hard for a rule without attention", SECOND, role="check"),
        Statement("association_gaussian_symmetric_gradient_descent", most(0.6),
                  "On the Gaussian data with a symmetric A it is {}",
                  "were it the data that decide, no way of making logits would associate (exploration: 1.00)", SECOND),
        Statement("association_gaussian_gram16_gradient_descent", most(0.6),
                  "On the Gaussian data with A = PᵀP it is {}", "likewise", SECOND),
    ), LAPTOP_SCALE, needs={"figure_steps": 1000, "steps": 1000}),
    Claim("idealized", "Gradient descent on the population risk learns patch association and generalizes.",
          "S", "02_theory", "association, generalization", (
        Statement("accuracy_end", least(0.99), "Test accuracy is {} at the end", PLATEAU, FIRST, "every", "%"),
        Statement("gap_end", least(3.0), "Attention inside a set beats attention outside by {}",
                  "e³ ≈ 20: a set mate then outweighs any other patch twentyfold", FIRST, "every", "logits"),
    ), LAPTOP_SCALE),
    Claim("events", "Alpha grows while attention stays; then gamma grows more than rho;"
          " with association there, alpha grows again.", "S, paraphrased", "02_theory",
          "Events I, II, III, in this order", (
        Statement("gap_before_alpha", most(0.1), "When alpha is halfway to its value at association, attention has gone"
                  " {} of its way",
                  "Event I: alpha has moved, attention has not", SECOND, "mean", "%"),
        Statement("gamma_lead", least(0.0), "Gamma's growth is {} ahead of rho's, either way",
                  "Event II", SECOND, "every", "logits"),
        Statement("alpha_growth", least(0.0), "From association to the end the logarithm of alpha moves by {}",
                  "Event III: alpha grows again", SECOND, "every"),
    ), ("laptop", "paper")),
    Claim("realistic", "Gradient descent on the empirical risk, from random initialization, learns patch association"
          " and generalizes.",
          "S Theorem 4.2, Figure 4", "03_synthetic_training",
          "association; error 7.5 % on the plateau, 2.4 % at the end (Figure 4)", (
        Statement("association_end", least(0.99), "Patch association is {} at the last step",
                  PLATEAU + "; at a step fixed beforehand, not at the best", SECOND, "every", "%"),
        *(
            Statement("set_mass_end", least(0.5), "At that step a row gives {} of its attention to its own set",
                      "on average it then reads its own set more than all others", since, "every", "%", scales=scales)
            for since, scales in ((SECOND, LAPTOP_SCALE), (FOURTH, PAPER_SCALE))
        ),
        Statement("accuracy_end", least(0.96), "At that step test accuracy is {}",
                  "within 3 points of the labelling function, 99 % here", FIRST, "every", "%", scales=LAPTOP_SCALE),
        Statement("error_plateau", (0.070, 0.085), "On the plateau the test error is {}",
                  "printed: 7.5 %; exactly, the linear rule errs 7.84 %", SECOND, "mean", "%", scales=PAPER_SCALE),
        Statement("error_end", (0.020, 0.032), "At the last step it is {}",
                  "printed: 2.4 %; exactly, no rule errs less than 2.55 %", SECOND, "mean", "%", scales=PAPER_SCALE),
        Statement("cosine_end", least(0.96), "At that step the cosine of v and w* is {}",
                  "printed: 0.98 after step 10,000, up to 0.02", SECOND, scales=PAPER_SCALE),
    ), ("laptop", "paper")),
    Claim("transfer", "With the learned attention kept, few downstream samples suffice; without it many are needed.",
          "A", "04_transfer", "D^o(1) against D^Ω(1) samples", (
        Statement("accuracy_kept_10", least(0.96), "From ten samples, test accuracy is {} with the attention kept",
                  "the level that pretraining itself must reach", SECOND, "mean", "%"),
        Statement("accuracy_scratch_10", most(0.90), "It is {} from scratch",
                  "what a rule along w* without attention reaches here", SECOND, "mean", "%"),
        Statement("accuracy_uniform_10", most(0.90), "It is {} with uniform attention",
                  "likewise: a new feature alone is not enough", SECOND, "mean", "%"),
        Statement("accuracy_other_partition_10", most(0.90), "It is {} with attention kept from another partition",
                  "likewise: the attention helps only on its own partition", SECOND, "mean", "%"),
    ), LAPTOP_SCALE),
    Claim("samples-needed", "With D, the samples that training from scratch needs grow like a power of D;"
          " with the learned attention kept they do not.", "A", "scale", "D^Ω(1) against D^o(1)", (
        Statement("slope_kept", most(0.25), "With the attention kept, the power is {}",
                  "a quarter of that expected from scratch; hull of three 95 % intervals, margins of 2, 3 and 5 points",
                  SECOND, "interval"),
        Statement("slope_gap", least(0.5), "The two powers differ by {}",
                  "half of the difference that is expected", SECOND, "interval"),
        Statement("budget_shift_scratch", most(0.1), "Half the iterations ask for {} more samples from scratch",
                  "then the count is one of samples, not of steps", SECOND, "every", "%", role="check"),
        Statement("budget_shift_kept", most(0.1), "Half the iterations ask for {} more with the attention kept",
                  "likewise", SECOND, "every", "%", role="check"),
    ), ("laptop", "paper")),
)

IMAGES = (
    Claim("pe-locality",
          "Position encodings are random at initialization; after training nearby patches have similar encodings.",
          "S, A", "08_locality", "a bump around each patch (Figure 5c; ViT-small-patch32-224 on ImageNet)", _local(),
          data={scale: tuple(DATA[key][scale][0] for key in IMAGENET_FIRST) for scale in SCALES}, also_in=ON_IMAGES),
    Claim("permuted",
          "The ViT is indifferent to a fixed permutation of the patches; its encodings find the grid all the same.",
          "S, of encodings ours", "08_locality",
          "ViT 64.0 % unpermuted, 63.6 % at every block size; ResNet 79.8 to 57.3 % (CIFAR-100, Figure 5a)", (
        *_local("_permuted"),
        *(
            Statement(f"loss_{kind}", (-0.02, 0.02), f"Permuting the patches costs {{}} of accuracy ({model})",
                      "a transformer is blind to the order: it cannot be otherwise but by the draw",
                      SECOND, "mean", "points", 0.9)
            for kind, model in MODELS.items()
        ),
        Statement("loss_convnet", least(0.03), "It costs a convolutional net {}",
                  "the control: a convolution needs the neighbours", SECOND, "mean", "points", role="check"),
    ), data=DATA["cifar100"], also_in=ON_IMAGES),
    Claim("permuted-blocks", "Blocks of 2 pixels permuted, the ViT keeps its accuracy; convolutional nets lose with"
          " every halving of the blocks.", "S", "08_locality",
          "from the whole image to blocks of 2 pixels: ViT 64.0 to 63.6 %, ResNet 79.8 to 57.3 %, VGG 76.1 to 46.7 %"
          " (CIFAR-100, Figure 5a)", (
        Statement("blocks_loss_vit", (-0.02, 0.02), "From the whole image to the smallest blocks the ViT loses {}",
                  "as where patches are permuted; an equivalence test", SECOND, "mean", "points", 0.9),
        Statement("blocks_loss_resnet", least(0.05), "ResNet-18 loses {}",
                  "a quarter of what it loses in the paper", SECOND, "mean", "points"),
        Statement("blocks_loss_vgg", least(0.05), "VGG-11 loses {}", "a sixth of what it loses in the paper",
                  SECOND, "mean", "points"),
        Statement("least_step_resnet", least(0.0), "Of all halvings, the one that costs ResNet-18 least costs it {}",
                  "with every halving", SECOND, "mean", "points"),
        Statement("least_step_vgg", least(0.0), "Of all halvings, the one that costs VGG-11 least costs it {}",
                  "likewise", SECOND, "mean", "points"),
    ), ("laptop", "paper"), data={scale: ("cifar100",) for scale in ("laptop", "paper")}),
    *map(_similar, SIMILAR),
)
# fmt: on

CLAIMS = {claim.key: claim for claim in (*THEORY, *IMAGES, *HYPOTHESES)}


def find(key: str) -> Claim:
    """The claim of that key. ValueError suggests the nearest."""
    return CLAIMS[one_of("claim", key, CLAIMS)]
