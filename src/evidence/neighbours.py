"""The neighbours: work that asks of space in transformers too; what of it is here, and what it published."""

from collections.abc import Sequence
from dataclasses import dataclass

from src.evidence.claims import CLAIMS
from src.evidence.html import FILTERS, Html, render
from src.evidence.records import Record
from src.evidence.sentences import unbroken
from src.evidence.verdicts import judge, strongest

FILTERS["unbroken"] = unbroken


@dataclass(frozen=True)
class Neighbour:
    """A row of the table.

    source : authors and year. taken, left : what of it is in the book and what is not. published : its own values.
    claim : the hypothesis that was made of it. ours : metrics of the claim's record, each in words, {} for its value.
    """

    name: str
    source: str
    taken: str
    left: str
    published: str
    claim: str
    ours: tuple[tuple[str, str], ...]


# fmt: off
NEIGHBOURS = (
    Neighbour(
        "iREPA", "Singh et al., 2025",
        "LDS, CDS and RMSC of tokens and encodings, by layer, before and after training, permuted patches too",
        "training a generator on the features; large pretrained encoders",
        "none for encodings",
        "spatial-probes",
        (("LDS of encodings, content: {}", "lds_encodings_after_content"),
         ("positional attention: {}", "lds_encodings_after_positional"),
         ("before training {}", "lds_encodings_before_content")),
    ),
    Neighbour(
        "LOOPE, monotonicity", "Chowdhury et al., 2025",
        "M_U and M_D of encodings, read so that the published sinusoid comes out",
        "the learned order of patches",
        "learned 1.749 and 1.200, sinusoid 1.957 and 1.491, LOOPE 1.967 and 1.290",
        "spatial-probes",
        (("content: M_U {}", "undirected_after_content"), ("M_D {}", "directed_after_content"),
         ("positional attention: M_U {}", "undirected_after_positional"), ("M_D {}", "directed_after_positional")),
    ),
    Neighbour(
        "LOOPE, three cells", "Chowdhury et al., 2025",
        "three coloured cells on a grid, questions on distance, area, orientation and place",
        "judged on 8 × 8 cells, its 14 × 14 beside it; which six answers are asked is ours",
        "30 to 35 % between with and without encodings",
        "three-cells",
        (("accuracy over none: learned {}", "gain_learned"), ("sinusoids of rows and columns {}", "gain_sinusoid_2d"),
         ("positional attention {}", "gain_positional")),
    ),
    Neighbour(
        "Positional attention on algorithms", "de Luca et al., 2025",
        "five tasks on lists of eight numbers, both attentions, numbers ten times as large in testing",
        "its 60,000 steps; graphs",
        "mean square error at ±20, standard and positional: sum 87.6 and 0.059, min 19.7 and 0.043, median 22.0 and"
        " 0.023, sort 54.5 and 0.146, subarray 199 and 0.262",
        "algorithms",
        (("standard over positional, powers of ten: sum {}", "lead_outside_sum"), ("min {}", "lead_outside_min"),
         ("median {}", "lead_outside_median"), ("sort {}", "lead_outside_sort"),
         ("subarray {}", "lead_outside_subarray")),
    ),
    Neighbour(
        "DropPos", "Wang et al., 2023",
        "how well positions are read back from tokens, of patches whose encodings were dropped too",
        "training by that task; a linear readout stands in for it",
        "none at this size; chance is 0.016",
        "positions-read-back",
        (("share right, last layer, content: {}", "readback_after_content"),
         ("positional attention: {}", "readback_after_positional"),
         ("content, encodings dropped: {}", "dropped_after_content")),
    ),
    Neighbour(
        "Gaussian mixture mask, DHVT, mimetic initialization",
        "Li and Zhang, 2023; Lu et al., 2022; Trockman and Kolter, 2023",
        "their smallest step each: a mask on the logits, convolved patches, a start for queries and keys",
        "the models around it",
        "gains of whole models; none of the step alone at this size",
        "structure-given",
        (("accuracy over content, a tenth of the images: mask {}", "lead_few_mask"),
         ("convolved {}", "lead_few_convolved"), ("mimetic {}", "lead_few_mimetic")),
    ),
    Neighbour(
        "Synthesizer", "Tay et al., 2021",
        "the random kind: logits are parameters, the same for every image, no encodings",
        "the dense and factorized kinds; language",
        "none on images",
        "structure-given",
        (("accuracy over positional attention, all images: {}", "over_positional_all_free"),
         ("uniform attention {}", "over_positional_all_uniform")),
    ),
    Neighbour(
        "Denoising Vision Transformers", "Yang et al., 2024",
        "an image of zeros, and what of its tokens depends on their place",
        "removing the pattern from pretrained models",
        "pictures; no number",
        "fixed-pattern",
        (("share of the variance over places, last layer, content: {}", "share_after_content"),
         ("positional attention: {}", "share_after_positional")),
    ),
    Neighbour(
        "SeqPE", "Li et al., 2025",
        "the encoder that reads a position's digits, and its contrastive loss, alone",
        "distillation of far positions, training with a model of language or images",
        "perplexity and accuracy only; no monotonicity",
        "sequential-encoding",
        (("M_U on the grid that was trained {}", "m_u_small_decimal"),
         ("on one twice as wide {}", "m_u_large_decimal"),
         ("with binary digits {}", "m_u_large_binary")),
    ),
)
# fmt: on


def neighbours_table(records: Sequence[Record]) -> Html:
    """A row a neighbour: what was taken, what left, its published value, ours; what was not run is shown so."""
    rows = [(each, CLAIMS[each.claim], _ours(each, records)) for each in NEIGHBOURS]
    return render("neighbours.html", rows=rows)


def _ours(neighbour: Neighbour, records: Sequence[Record]) -> list[str]:
    if not any(judge(neighbour.claim, records, scale).findings for scale in CLAIMS[neighbour.claim].scales):
        return []
    record = strongest(neighbour.claim, records)
    return [words.format(record.text(metric)) for words, metric in neighbour.ours]
