"""Hypotheses beyond the paper, each with the rule that decides it: studies of the companion's own, and neighbours."""

from src.evidence.statements import LAPTOP, THIRD, Claim, Statement, least, most

# Tables, two lines a statement: the formatter would give each argument its own.
# fmt: off
ARMS = {"overlapping": "where equal sets overlap", "unequal": "where their sizes differ too",
        "noisy": "where they miss patches too"}

WAYS = ("gradient descent", "Adam")

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

GIVEN = {"mask": "a Gaussian mask", "convolved": "convolving the patches", "mimetic": "a mimetic start"}
SIZES = {"few": "with a tenth of the images", "all": "with all images"}

NEIGHBOURS = (
    Claim("structure-given",
          "Structure that is given gains where images are few; where they are many, learning reaches it.",
          "own", "given", "ViTs for small data sets, and Synthesizers", (
        *(
            Statement(f"lead_few_{name}", least(0.0), f"With a tenth of the images {words} gains {{}} on content",
                      "the hypothesis; paired, test images", THIRD, unit="points")
            for name, words in GIVEN.items()
        ),
        *(
            Statement(f"lead_all_{name}", (-0.02, 0.02), f"With all images {words} leads content by {{}}",
                      "the hypothesis: learned locality reaches what is given, within 2 points", THIRD, unit="points")
            for name, words in GIVEN.items()
        ),
        *(
            Statement(f"over_positional_{size}_free", (-0.02, 0.02),
                      f"A free matrix leads positional attention by {{}} {words}",
                      "the hypothesis: encodings add nothing to a matrix that all images share", THIRD, unit="points")
            for size, words in SIZES.items()
        ),
        *(
            Statement(f"over_positional_{size}_free", most(-0.02),
                      f"A free matrix is behind positional attention: a lead of {{}} {words}",
                      "the opposite, seen on another seed before the rule, on few images in a short training",
                      THIRD, unit="points")
            for size, words in SIZES.items()
        ),
        *(
            Statement(f"over_positional_{size}_uniform", most(-0.03),
                      f"Uniform attention leads positional attention by {{}} {words}",
                      "the hypothesis: learned positions are worth 3 points or more", THIRD, unit="points")
            for size, words in SIZES.items()
        ),
        *(
            Statement(f"mantel_p_{size}_free", most(0.01), f"A free matrix is as local by chance: p = {{}} {words}",
                      "the hypothesis: it becomes local; Mantel's test of each repetition", THIRD, "every")
            for size, words in SIZES.items()
        ),
    ), LAPTOP, {"laptop": ("cifar10",)}),
)
# fmt: on

HYPOTHESES = (*STUDIES, *NEIGHBOURS)
