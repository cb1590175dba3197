"""Hypotheses beyond the paper, each with the rule that decides it: studies of the companion's own, and neighbours."""

from src.evidence.statements import LAPTOP_SCALE, MODELS, THIRD, Claim, Statement, least, most

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
                          "a permutation test of each repetition", THIRD, "every", opposite=""),
            )
        ),
        *(
            Statement(f"weighted_lead_{arm}", least(0.0),
                      f"Counting a set by 1 / size raises the correlation by {{}} {words}",
                      "seen on other seeds before the rule: small sets weigh more", THIRD, role="aside")
            for arm, words in ARMS.items() if arm != "overlapping"
        ),
    ), LAPTOP_SCALE),
    Claim("parameterization", "At equal error a Gram matrix PᵀP associates more often than free logits.",
          "own", "parameterization", "queries and keys of one matrix, or a free A", tuple(
        Statement(f"fisher_p_{form}_{data}_{way.lower().replace(' ', '_')}", most(0.01),
                  f"{words} on {kind} patches, by {way}: p = {{}}", reason, THIRD, "every",
                  opposite=f"fisher_p_{'free' if form == 'gram' else 'gram'}_{data}_{way.lower().replace(' ', '_')}",
                  role="part" if form == "gram" else "aside")
        for form, words, data, kind, ways, reason in (
            ("gram", "PᵀP more often", "gaussian", "Gaussian", WAYS, "Fisher's exact test; the hypothesis"),
            ("gram", "PᵀP more often", "structured", "structured", WAYS, "likewise"),
            ("free", "Free logits more often", "structured", "structured", WAYS[:1],
             "the opposite, seen on other seeds before the rule"),
        )
        for way in ways
    ), LAPTOP_SCALE),
    Claim("phase-diagram",
          "Descent associates where association is needed: where a linear rule errs and the best rule does not;"
          " and the more, the more samples there are.",
          "own", "phase", "set size, distractors, samples and patches, a thousand descents", (
        Statement("gain_correlation", least(0.5), "Over q and C, association and what it can gain correlate by {}",
                  "the hypothesis; Spearman's correlation over the map, one a repetition", THIRD),
        Statement("linear_error_correlation", most(-0.7), "Association and the linear rule's error correlate by {}",
                  "the opposite, seen on other seeds before the rule: it comes where the task is easy", THIRD,
                  role="aside"),
        Statement("samples_correlation", least(0.5), "At the largest D, association and samples correlate by {}",
                  "the hypothesis: more samples, more association", THIRD),
        Statement("size_correlation", most(-0.5), "Over N and D, association and the linear error correlate by {}",
                  "as over q and C, where it was seen before the rule; N varies too", THIRD, role="aside"),
    ), LAPTOP_SCALE),
    Claim("many-layers", "In a ViT of two or of seven layers heads of an early layer associate, and it needs them.",
          "own", "layers", "one layer in the paper, many in practice", tuple(
        statement
        for depth, early in ((2, 1.0), (7, 3.0))
        for statement in (
            Statement(f"best_association_{depth}_layers", least(0.8),
                      f"With {depth} layers the best head's rows have {{}} of their top C in their own set",
                      "the hypothesis; by chance 0.46 for the best of 8 heads, 0.48 of 28", THIRD, "every"),
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
                      "seen on other seeds before the rule: the set that a row reads may be another", THIRD, "every",
                      role="aside"),
            Statement(f"loss_reading_{depth}_layers", least(0.10),
                      f"Without the heads that read sets, {depth} layers lose {{}} of accuracy",
                      "likewise; heads from 0.8 on; of repetitions that have some", THIRD, unit="points", role="aside"),
            Statement(f"loss_others_reading_{depth}_layers", most(0.02),
                      f"Without as many that do not, {depth} layers lose {{}} of accuracy",
                      "likewise; where half of all heads read sets there is no choice", THIRD, unit="points",
                      role="aside"),
        )
    ), LAPTOP_SCALE),
    Claim("locality-needs-order",
          "Encodings learn which places show what is near in the scene, not which are near on the grid.",
          "own", "disorder", "images whose patches are permuted by class or by image, or warped", tuple(
        Statement(f"{metric}_{kind}", within, f"{words} ({model})", reason, THIRD, over,
                  opposite="" if metric.startswith("mantel_p") else None,
                  role="check" if metric.endswith("in_place") else "part")
        for kind, model in MODELS.items()
        for metric, over, within, words, reason in (
            ("sources_in_place", "mean", least(0.25), "In place, nearness and similarity correlate by {}",
             "the control, bounds as of the paper's claim; 0.31 to 0.47 seen on two other seeds"),
            ("mantel_p_in_place", "every", most(0.01), "Shuffled patches fit this well with probability {}",
             "a Mantel test of each repetition"),
            ("sources_permuted", "mean", least(0.25), "Permuted alike, and the permutation undone, by {}",
             "known from chapter 08; 0.25 to 0.48 seen on two other seeds before the rule"),
            ("mantel_p_permuted", "every", most(0.01), "Shuffled patches fit this well with probability {}",
             "likewise"),
            ("grid_by_class", "mean", (-0.1, 0.1), "Permuted by class, grid and similarity correlate by {}",
             "the hypothesis; seen on another seed before the rule, as are those below"),
            ("sources_by_class", "mean", least(0.0), "Mean nearness over the ten permutations and similarity, by {}",
             "the hypothesis: nearness in the scene still counts"),
            ("grid_by_image", "mean", (-0.1, 0.1), "Permuted by image, grid and similarity correlate by {}",
             "the hypothesis: no locality without order"),
            ("lead_warped", "mean", least(0.0), "Warped, nearness of the sources correlates by {} more than the grid's",
             "the hypothesis, paired by repetition"),
        )
    ), LAPTOP_SCALE, {"laptop": ("cifar10",)}),
)

DIGITS = {"decimal": "decimal digits", "binary": "binary digits"}

ENCODED = {"learned": "learned encodings in the tokens", "sinusoid_1d": "sinusoids of the row of tokens",
           "sinusoid_2d": "sinusoids of rows and columns", "positional": "positional attention"}

ALGORITHMS = {"sum": "sums of prefixes", "min": "minima of prefixes", "median": "medians of prefixes",
              "sort": "sorting", "subarray": "largest sums of neighbours"}

GIVEN = {"mask": "a Gaussian mask", "convolved": "convolving the patches", "mimetic": "a mimetic start"}
SIZES = {"few": "with a tenth of the images", "all": "with all images"}

NEIGHBOURS = (
    Claim("sequential-encoding",
          "Digits carry encodings beyond the grid on which SeqPE's contrastive loss trained them.",
          "own", "neighbours", "SeqPE; its contrastive loss alone, from 8 × 8 places to 16 × 16", (
        *(
            Statement(f"m_u_small_{arm}", least(1.9), f"On the places that were trained M_U is {{}} with {words}",
                      "2 is ideal, a random table has about 1.3 on this grid", THIRD,
                      role="aside" if arm == "table" else "check")
            for arm, words in (DIGITS | {"table": "a free table"}).items()
        ),
        *(
            Statement(f"m_u_large_{arm}", least(1.749), f"On the larger grid it is {{}} with {words}",
                      "the hypothesis: what learned encodings are published to have where they were trained", THIRD)
            for arm, words in DIGITS.items()
        ),
        Statement("m_u_large_table", most(1.3), "On the larger grid it is {} with a free table",
                  "the control: most of its places were never trained", THIRD, role="check"),
        Statement("m_u_large_windows", least(1.749), "It is {} where the small grid was shifted over the large one",
                  "the hypothesis: every digit is seen, no distance beyond the small grid's", THIRD),
        Statement("m_u_large_whole", least(1.9), "It is {} where the larger grid was trained as a whole",
                  "the control", THIRD, role="check"),
    ), LAPTOP_SCALE),
    Claim("spatial-probes", "By its neighbours' measures, too, learned encodings have spatial structure: with both"
          " attentions, and on permuted patches once the permutation is undone; training gives the tokens some too.",
          "own", "probes", "LDS and CDS of iREPA, M_U of LOOPE", (
        *(
            Statement(f"{metric}_before_content{order}", chance, f"{words} is {{}} before training{where}",
                      f"random encodings: {expected}, n = 300", THIRD, "every", role="check")
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
                          f"From the first layer's input to the last layer it changes by {{}} ({name})",
                          f"the opposite, {LOOKED}: layers make the tokens alike", THIRD, role="aside"),
            )
        ),
    ), LAPTOP_SCALE, CIFAR),
    Claim("positions-read-back", "Where a patch lies can be read from its token, even where its encoding was dropped,"
          " better after training than before.",
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
                  f"{LOOKED}: what others show about a place does not reach the token", THIRD, "mean", "points",
                  role="aside"),
    ), LAPTOP_SCALE, CIFAR, ("spatial-probes",), {"image_size": 32, "patch_size": 4}),
    Claim("fixed-pattern", "With content attention, whose tokens carry encodings, an empty image leaves a larger fixed"
          " pattern than with positional attention, whose values see none; so does the mean over images.",
          "own", "probes", "the zero image of Denoising Vision Transformers", (
        Statement("share_lead", least(0.0), "Content leads by {} of the variance over places, last layer",
                  f"the hypothesis; {LOOKED}", THIRD, "mean", "points"),
        Statement("share_lead_permuted", least(0.0), "On permuted patches it leads by {}",
                  "likewise", THIRD, "mean", "points"),
        Statement("cosine_after_content", least(0.5), "It resembles the images' common pattern by a cosine of {}",
                  f"what such an image is taken to show; {LOOKED}: hardly", THIRD, role="aside"),
        Statement("share_gain_content", most(0.0), "Training changes the content model's share by {}",
                  f"{LOOKED}: an untrained model leaves more", THIRD, "mean", "points", role="aside"),
        Statement("common_lead", least(0.0), "By the mean over images content leads by {}",
                  f"{LOOKED}: the same order by another measure", THIRD, "mean", "points"),
    ), LAPTOP_SCALE, CIFAR, ("spatial-probes",)),
    Claim("algorithms", "Trained on small numbers, positional attention errs far less than standard attention on larger"
          " ones, and as much on small ones.", "own", "algorithms",
          "de Luca et al.: at ±20 errors of 0.02 to 0.26 against 20 to 199, after 60,000 steps", (
        *(
            Statement(f"lead_outside_{task}", least(1.0), f"At ±20 the mean square error of standard attention is {{}}"
                      f" powers of ten larger: {words}", "the hypothesis; published medians: 2.6 to 3.2", THIRD)
            for task, words in ALGORITHMS.items()
        ),
        *(
            Statement(f"lead_inside_{task}", (-1.0, 1.0), f"At ±2 it is {{}} powers of ten larger: {words}",
                      "a tenth to ten times: what differs outside is not there inside", THIRD)
            for task, words in ALGORITHMS.items()
        ),
    ), LAPTOP_SCALE, needs={"test_ranges": [4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0]}),
    Claim("three-cells", "Encodings of any kind let a ViT say how three cells lie, those of rows and columns more than"
          " those of one row; positional attention does so as well as learned encodings in the tokens.",
          "own", "cells", "LOOPE (2025), three-cell experiment; its abstract: 30 to 35 % between with and without", (
        Statement("excess_none", (-0.01, 0.01), "Without encodings accuracy is {} above chance",
                  "no model blind to places is right more often", THIRD, "mean", "points", role="check"),
        *(
            Statement(f"gain_{kind}", least(0.1), f"With {words} it is {{}} higher",
                      "the hypothesis: a third of what the abstract names", THIRD, "mean", "points")
            for kind, words in ENCODED.items()
        ),
        Statement("grid_lead", least(0.0), "Sinusoids of rows and columns lead those of one row by {}",
                  "the hypothesis, paired by seed", THIRD, "mean", "points"),
        Statement("positional_lead", (-0.02, 0.02), "Positional attention leads learned encodings in the tokens by {}",
                  "the hypothesis: they are alike, an equivalence test", THIRD, "mean", "points", 0.9),
        Statement("positional_lead", least(0.0), "Positional attention leads learned encodings in the tokens by {}",
                  "seen on two other seeds before the rule: it learns sooner", THIRD, "mean", "points", role="aside"),
        Statement("grid_lead_learned", least(0.1), "Sinusoids of rows and columns lead learned encodings by {}",
                  "seen on two other seeds before the rule", THIRD, "mean", "points", role="aside"),
    ), LAPTOP_SCALE),
    Claim("structure-given",
          "Structure that is given gains where images are few; where they are many, learning reaches it."
          " A free matrix is as good as positional attention, and local; uniform attention is worse.",
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
                      THIRD, unit="points", role="aside")
            for size, words in SIZES.items()
        ),
        *(
            Statement(f"over_positional_{size}_uniform", most(-0.03),
                      f"Uniform attention leads positional attention by {{}} {words}",
                      "the hypothesis: learned positions are worth 3 points or more", THIRD, unit="points")
            for size, words in SIZES.items()
        ),
        *(
            Statement(f"mantel_p_{size}_free", most(0.01), f"Chance makes a free matrix as local with p = {{}} {words}",
                      "the hypothesis: it becomes local; Mantel's test of each repetition", THIRD, "every", opposite="")
            for size, words in SIZES.items()
        ),
    ), LAPTOP_SCALE, CIFAR, needs={"share": 0.1, "train_limit": 0}),
)
# fmt: on

HYPOTHESES = (*STUDIES, *NEIGHBOURS)
