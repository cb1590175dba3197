"""Hypotheses beyond the paper, each with the rule that decides it: studies of the companion's own, and neighbours."""

from src.evidence.statements import LAPTOP, THIRD, Claim, Statement, least, most

# Tables, two lines a statement: the formatter would give each argument its own.
# fmt: off
ARMS = {"overlapping": "where equal sets overlap", "unequal": "where their sizes differ too",
        "noisy": "where they miss patches too"}

WAYS = ("gradient descent", "Adam")

PROBED = {"content": "content", "positional": "positional", "content_permuted": "content, permuted patches",
          "positional_permuted": "positional, permuted patches"}
CIFAR = {"laptop": ("cifar10",)}
LOOKED = "seen on another seed before the rule"

STUDIES = (
    Claim("overlapping-sets", "Where sets overlap, two patches are the more similar the more sets they share.",
          "own", "overlapping", "sets that overlap, differ in size and miss patches", (
        *(
            statement
            for arm, words in ARMS.items()
            for statement in (
                Statement(f"spearman_{arm}", least(0.8), f"Similarity and shared sets correlate by {{}} {words}",
                          "Spearman's correlation at the last step; ties allow 0.94 to 0.96", THIRD),
                Statement(f"permutation_p_{arm}", most(0.01),
                          f"Patches in any order fit as well with chance {{}} {words}",
                          "a permutation test of each repetition", THIRD, "every"),
            )
        ),
        *(
            Statement(f"weighted_lead_{arm}", least(0.0),
                      f"Counting a set by 1 / size raises the correlation by {{}} {words}",
                      "seen on other seeds before the rule: small sets, which are harder, weigh more", THIRD)
            for arm, words in ARMS.items() if arm != "overlapping"
        ),
    ), LAPTOP),
    Claim("parameterization", "At equal error a Gram matrix PᵀP associates more often than free logits.",
          "own", "parameterization", "queries and keys of one matrix, or a free A", tuple(
        Statement(f"fisher_p_{form}_{data}_{way.lower().replace(' ', '_')}", most(0.01),
                  f"{words} on {kind} patches, by {way}: p = {{}}", reason, THIRD, "every")
        for form, words, data, kind, ways, reason in (
            ("gram", "PᵀP more often", "gaussian", "Gaussian", WAYS, "Fisher's exact test; the hypothesis"),
            ("gram", "PᵀP more often", "structured", "structured", WAYS, "likewise"),
            ("free", "Free logits more often", "structured", "structured", WAYS[:1],
             "the opposite, seen on other seeds before the rule"),
        )
        for way in ways
    ), LAPTOP),
    Claim("phase-diagram",
          "Descent associates where association is needed: where a linear rule errs and the best rule does not.",
          "own", "phase", "set size, distractors, samples and patches, a thousand descents", (
        Statement("gain_correlation", least(0.5), "Over q and C, association and what it can gain correlate by {}",
                  "the hypothesis; Spearman's correlation over the map, one a repetition", THIRD),
        Statement("linear_error_correlation", most(-0.7), "Association and the linear rule's error correlate by {}",
                  "the opposite, seen on other seeds before the rule: it comes where the task is easy", THIRD),
        Statement("samples_correlation", least(0.5), "At the largest D, association and samples correlate by {}",
                  "the hypothesis: more samples, more association", THIRD),
        Statement("size_correlation", most(-0.5), "Over N and D, association and the linear error correlate by {}",
                  "as over q and C; N varies too", THIRD),
    ), LAPTOP),
)

NEIGHBOURS = (
    Claim("spatial-probes", "By its neighbours' measures, too, learned encodings have spatial structure: with both"
          " attentions, and on permuted patches once the permutation is undone.",
          "own", "probes", "LDS and CDS of iREPA, M_U of LOOPE", (
        *(
            Statement(f"{metric}_before_content{order}", chance, f"{words} is {{}} before training{where}",
                      f"random encodings: {expected}, n = 300", THIRD, "every")
            for order, where in (("", ""), ("_permuted", ", permutation undone"))
            for metric, words, chance, expected in (
                ("lds_encodings", "LDS of the encodings", (-0.06, 0.06), "0 ± 0.04"),
                ("cds_encodings", "Their CDS", (-0.01, 0.01), "0 ± 0.005"),
                ("undirected", "Their M_U", (1.1, 1.5), "1.19 to 1.46"),
            )
        ),
        *(
            Statement(f"{metric}_after_{name}", least(bound), f"{words} is {{}} after training ({model})",
                      f"the hypothesis, far outside chance; {LOOKED}", THIRD)
            for name, model in PROBED.items()
            for metric, words, bound in (("lds_encodings", "LDS of the encodings", 0.2),
                                         ("cds_encodings", "Their CDS", 0.03), ("undirected", "Their M_U", 1.6))
        ),
        *(
            statement
            for name in ("content", "positional")
            for statement in (
                Statement(f"lds_gain_{name}", least(0.0),
                          f"Training adds {{}} to the LDS of the last layer's tokens ({name})",
                          f"the hypothesis: tokens gain structure as encodings do; {LOOKED}", THIRD),
                Statement(f"lds_climb_{name}", most(-0.1),
                          f"From the patches to the last layer it changes by {{}} ({name})",
                          f"the opposite, {LOOKED}: layers make the tokens alike", THIRD),
            )
        ),
    ), LAPTOP, CIFAR),
    Claim("positions-read-back", "Where a patch lies can be read from its token, better after training than before.",
          "own", "probes", "position prediction, the task of DropPos", (
        *(
            statement
            for name in ("content", "positional")
            for statement in (
                Statement(f"readback_after_{name}", least(5 / 64), f"From the last layer {{}} are right ({name})",
                          f"the hypothesis: five times chance, 1 / 64; {LOOKED}", THIRD, "mean", "%"),
                Statement(f"readback_gain_{name}", least(0.0), f"Training adds {{}} ({name})",
                          f"the hypothesis; {LOOKED}", THIRD, "mean", "points"),
            )
        ),
        Statement("dropped_after_content", least(5 / 64), "Of patches whose encodings were dropped {} are right",
                  f"the hypothesis: five times chance; {LOOKED}", THIRD, "mean", "%"),
        Statement("dropped_gain_content", least(0.0), "Training adds {} there", f"the hypothesis; {LOOKED}",
                  THIRD, "mean", "points"),
        Statement("dropped_climb_content", (-0.01, 0.01), "Over what the bare patch tells, the last layer adds {}",
                  f"{LOOKED}: what others show about a place does not reach the token", THIRD, "mean", "points"),
    ), LAPTOP, CIFAR, ("spatial-probes",)),
    Claim("fixed-pattern", "With content attention, whose tokens carry encodings, an empty image leaves a larger fixed"
          " pattern than with positional attention, whose values see none.",
          "own", "probes", "the zero image of Denoising Vision Transformers", (
        Statement("share_lead", least(0.0), "Content leads by {} of the variance over places, last layer",
                  f"the hypothesis; {LOOKED}", THIRD, "mean", "points"),
        Statement("share_lead_permuted", least(0.0), "On permuted patches it leads by {}",
                  "likewise", THIRD, "mean", "points"),
        Statement("cosine_after_content", least(0.5), "It resembles the images' common pattern by a cosine of {}",
                  f"what such an image is taken to show; {LOOKED}: hardly", THIRD),
        Statement("share_gain_content", most(0.0), "Training changes the content model's share by {}",
                  f"{LOOKED}: an untrained model leaves more", THIRD, "mean", "points"),
        Statement("common_lead", least(0.0), "By the mean over images content leads by {}",
                  f"{LOOKED}: the same order by another measure", THIRD, "mean", "points"),
    ), LAPTOP, CIFAR, ("spatial-probes",)),
)
# fmt: on

HYPOTHESES = (*STUDIES, *NEIGHBOURS)
