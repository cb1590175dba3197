"""What the landing page shows: three findings, and for every claim the paper's value beside ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from statistics import fmean

from src.evidence.claims import CLAIMS, SIMILAR
from src.evidence.html import Html, render
from src.evidence.paper_figures import paper_figure
from src.evidence.records import Record, known, pooled
from src.evidence.sentences import UNITS, amount, needed
from src.evidence.statements import Claim, Statement
from src.evidence.verdicts import HOLDS, NOT_RUN, Finding, Verdict, judge


@dataclass(frozen=True)
class Headline:
    """The one measured value that stands for a claim in the strip.

    metric : of one of the claim's statements. words : what it is, in few words.
    paper : the paper's value of it, if there is one. printed : whether the paper prints it or draws it; otherwise it is
        a bound that it claims, or what it claims in the limit.
    """

    metric: str
    words: str
    paper: float | None = None
    printed: bool = False


def _printed(metric: str, words: str, percent: float) -> Headline:
    """One of which the paper gives the value."""
    return Headline(metric, words, percent / 100, True)


def _similar(key: str) -> Headline:
    """Vanilla minus positional accuracy, as the paper's Figures 6 and 7 have it."""
    if key == "imagenet":
        percent = paper_figure("6")["accuracy"]
        gap = percent["content"] - percent["positional"]
    else:
        content, positional = paper_figure("7")[key].values()
        gap = content[2] - positional[2]  # medians
    return _printed("accuracy_gap", f"{SIMILAR[key][0]}: vanilla minus positional accuracy", round(gap, 2))


def _lost_by_permuting(network: str) -> float:
    """Accuracy on whole images less that on permuted blocks of two pixels (%), Figure 5a."""
    by_block = paper_figure("5a")["accuracy"][network]
    return by_block[-1] - by_block[0]


HEADLINES = {
    "structure": Headline("labelling_accuracy", "The labelling function is right", 1.0),
    "linear-fails": Headline("error_exact_authors", "The linear rule errs, Figure 4", 1 / 8),
    "shortcut-exists": Headline("accuracy_shortcut", "The shortcut is right", 1.0),
    "gaussian": _printed(
        "error_end", "Test error on Gaussian patches", paper_figure("2")["test_error"]["percent"][-1]
    ),
    "idealized": Headline("accuracy_end", "Accuracy, population risk", 1.0),
    "events": Headline("alpha_growth", "Growth of log alpha in Event III"),
    "realistic": Headline("association_end", "Patch association, from samples", 1.0),
    "transfer": Headline("accuracy_kept_10", "Accuracy from ten samples, attention kept"),
    "samples-needed": Headline("slope_kept", "Samples needed: power of D, attention kept", 0.0),
    "pe-locality": Headline("locality_content", "Nearness and similarity correlate, vanilla ViT"),
    "permuted": _printed("loss_content", "Accuracy lost by permuting patches", _lost_by_permuting("vit")),
    "permuted-blocks": _printed(
        "blocks_loss_resnet", "Accuracy a ResNet loses to permuted blocks", _lost_by_permuting("resnet")
    ),
    **{f"positional-{key}": _similar(key) for key in SIMILAR},
}


@dataclass(frozen=True)
class Card:
    """A finding: a number of a record and a sentence around further numbers of the same verdict, by their metrics.

    paper : numbers of the paper's in the sentence. beside : a metric of the records that no statement judges.
    """

    claim: str
    scale: str
    metric: str
    words: str
    paper: Mapping[str, str] = field(default_factory=dict)
    beside: str = ""


CARDS = (
    Card(
        "realistic", "paper", "error_end",
        "test error at the end of gradient descent in a setting fitted to the paper's Figure 4, which ends at {figure}."
        " Patch association is {association_end}.",
        {"figure": f"{paper_figure('4')['test_error']['percent'][-1]} %"},
    ),
    Card(
        "transfer", "laptop", "accuracy_kept_10",
        "accuracy on a new task from ten samples with the learned attention kept; {accuracy_scratch_10} where it is"
        " learned anew.",
    ),
    Card(
        "gaussian", "laptop", "association_gaussian_symmetric_gradient_descent",
        "patch association on Gaussian patches with a symmetric attention matrix;"
        " {association_gaussian_free_gradient_descent} with a free one and the same steps, {association_figure} by the"
        " course of the paper's Figure 2, which shows none (chance: {chance}).",
        {"chance": f"{paper_figure('2')['matrix']['chance']:.2f}"},
        "association_gaussian_free_gradient_descent",
    ),
)  # fmt: skip


def first_screen(records: Sequence[Record]) -> Html:
    """Three findings, the strip of all claims, and a sentence on what was not run."""
    verdicts = {key: [judge(key, records, scale) for scale in CLAIMS[key].scales] for key in HEADLINES}
    return render(
        "first_screen.html",
        cards=[_card(card, verdicts[card.claim]) for card in CARDS],
        rows=[_row(CLAIMS[key], HEADLINES[key], found) for key, found in verdicts.items()],
        not_run=not_run(verdicts),
    )


def _card(card: Card, verdicts: Sequence[Verdict]) -> dict[str, object]:
    verdict = next(each for each in verdicts if each.scale == card.scale)
    shown = {"claim": card.claim, "verdict": verdict, "number": "", "words": ""}
    if verdict.findings:
        numbers = {each.statement.metric: _mean(each) for each in verdict.findings}
        if card.beside:
            numbers[card.beside] = amount(pooled(verdict.records).mean(card.beside), "")
        shown |= {"number": numbers[card.metric], "words": card.words.format(**numbers, **card.paper)}
    return shown


def _mean(finding: Finding) -> str:
    """The mean with its unit, which no line break parts from it."""
    values = known(finding.values)
    return (
        amount(fmean(values), finding.statement.unit).replace(" ", "\N{NO-BREAK SPACE}")
        if values
        else "no value"
    )


def not_run(verdicts: Mapping[str, Sequence[Verdict]]) -> dict[str, list[str]]:
    """Which claims have no record, by the scales that lack one: "short and paper" -> their keys."""
    lacking: dict[str, list[str]] = {}
    for key, found in verdicts.items():
        scales = " and ".join(each.scale for each in found if each.word == NOT_RUN)
        if scales:
            lacking.setdefault(scales, []).append(key)
    return lacking


@dataclass(frozen=True)
class Axis:
    """Where values stand between the ends of a row, in percent of its width."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Sequence[float]) -> "Axis":
        """All finite values, and a little room beside them."""
        there = [value for value in values if isfinite(value)]
        room = 0.12 * (max(there) - min(there) or abs(there[0]) or 1.0)
        return cls(min(there) - room, max(there) + room)

    def place(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(max(share, 0.0), 1.0), 2)


def _row(claim: Claim, headline: Headline, verdicts: Sequence[Verdict]) -> dict[str, object]:
    """What the template draws of a claim: the accepted band, the paper's mark, and ours, one line a scale."""
    statement = next(each for each in claim.statements if each.metric == headline.metric)
    found = [(verdict, each) for verdict in verdicts if (each := _measuring(statement, verdict))]
    paper = [] if headline.paper is None else [headline.paper]
    ours = [value for _, findings in found for each in findings for value in _numbers(each)]
    axis = Axis.around([*statement.within, *paper, *ours])
    lines = [_line(verdict, findings, axis) for verdict, findings in found]
    return {
        "claim": claim.key,
        "headline": headline,
        "needed": needed(statement),
        "band": [axis.place(end) for end in statement.within],
        "paper": [axis.place(value) for value in paper],
        "paper_text": amount(headline.paper, statement.unit) if paper else "—",
        "lines": lines,
        "ours": _joined([line["text"] for line in lines], UNITS[statement.unit][2]),
        "verdicts": [(each, sum(one.word == HOLDS for one in each.parts)) for each in verdicts],
    }


def _joined(texts: Sequence[str], unit: str) -> str:
    """Values of several scales, the unit behind the last."""
    return " / ".join([*(text.removesuffix(unit) for text in texts[:-1]), *texts[-1:]])


def _measuring(statement: Statement, verdict: Verdict) -> list[Finding]:
    """What a verdict found of the statement, once for each data set that has values."""
    return [each for each in verdict.findings if each.statement == statement and known(each.values)]


def _numbers(finding: Finding) -> list[float]:
    return [*_means(finding), *(finding.interval or ())]


def _means(finding: Finding) -> list[float]:
    """The mean over repetitions; none where the record gives an interval alone."""
    return [] if finding.statement.over == "interval" else [fmean(known(finding.values))]


def _line(verdict: Verdict, findings: Sequence[Finding], axis: Axis) -> dict[str, object]:
    """Our marks at one scale: for each data set the mean and, where there is one, its interval."""
    unit = findings[0].statement.unit
    means = [mean for each in findings for mean in _means(each)]
    shown = means or [end for each in findings for end in each.interval or ()]
    ends = [amount(value, unit) for value in sorted({min(shown), max(shown)})]
    return {
        "verdict": verdict,
        "text": " to ".join(ends),
        "points": [axis.place(mean) for mean in means],
        "intervals": [[*map(axis.place, each.interval)] for each in findings if each.interval],
    }
