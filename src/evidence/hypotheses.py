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
    Claim("many-layers", "In a ViT of two or of seven layers heads of an early layer associate, and it needs them.",
          "own", "layers", "one layer in the paper, many in practice", tuple(
        statement
        for depth, early in ((2, 1.0), (7, 3.0))
        for statement in (
            Statement(f"best_association_{depth}_layers", least(0.8),
                      f"With {depth} layers the best head's rows have {{}} of their top C in their own set",
                      "the hypothesis; chance is 0.4", THIRD, "every"),
            Statement(f"layer_association_{depth}_layers", most(early),
                      f"With {depth} layers that head is in layer {{}}",
                      "the hypothesis, the first half; without a value where no head has 0.6", THIRD, "every"),
            Statement(f"loss_association_{depth}_layers", least(0.10),
                      f"Without the heads that associate, {depth} layers lose {{}} of accuracy",
                      "the hypothesis; heads from 0.6 on, midway from chance, look everywhere alike", THIRD,
                      unit="points"),
            Statement(f"loss_others_association_{depth}_layers", most(0.02),
                      f"Without as many other heads, {depth} layers lose {{}} of accuracy",
                      "the hypothesis; mean over five random choices", THIRD, unit="points"),
            Statement(f"best_reading_{depth}_layers", least(0.8),
                      f"With {depth} layers the best head's rows have {{}} of their top C in one set",
                      "seen on other seeds before the rule: the set that a row reads may be another", THIRD, "every"),
            Statement(f"loss_reading_{depth}_layers", least(0.10),
                      f"Without the heads that read sets, {depth} layers lose {{}} of accuracy",
                      "likewise; heads from 0.8 on", THIRD, unit="points"),
            Statement(f"loss_others_reading_{depth}_layers", most(0.02),
                      f"Without as many that do not, {depth} layers lose {{}} of accuracy",
                      "likewise", THIRD, unit="points"),
        )
    ), LAPTOP),
)
# fmt: on

HYPOTHESES = STUDIES
