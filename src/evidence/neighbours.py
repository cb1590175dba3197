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


NEIGHBOURS = (
    Neighbour(
        "SeqPE",
        "Li et al., 2025",
        "the encoder that reads a position's digits, and its contrastive loss, alone",
        "distillation of far positions, training with a model of language or images",
        "perplexity and accuracy only; no monotonicity",
        "sequential-encoding",
        (
            ("M_U on the grid that was trained {}", "m_u_small_decimal"),
            ("on one twice as wide {}", "m_u_large_decimal"),
        ),
    ),
)


def neighbours_table(records: Sequence[Record]) -> Html:
    """A row a neighbour: what was taken, what left, its published value, ours; what was not run is shown so."""
    rows = [(each, CLAIMS[each.claim], _ours(each, records)) for each in NEIGHBOURS]
    return render("neighbours.html", rows=rows)


def _ours(neighbour: Neighbour, records: Sequence[Record]) -> list[str]:
    if not any(judge(neighbour.claim, records, scale).findings for scale in CLAIMS[neighbour.claim].scales):
        return []
    record = strongest(neighbour.claim, records)
    return [words.format(record.text(metric)) for words, metric in neighbour.ours]
