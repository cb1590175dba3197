"""What was run: when, where, how long, at which commit; and what was not."""

from collections.abc import Mapping, Sequence

from src.evidence.claims import CLAIMS
from src.evidence.html import FILTERS, Html, render
from src.evidence.records import Record
from src.evidence.sentences import one_thread
from src.evidence.statements import Claim
from src.evidence.verdicts import NOT_RUN, judge
from src.experiments.resolve import resolve, scale_of
from src.experiments.table import CHAPTERS, EXPERIMENTS


def duration_text(seconds: float) -> str:
    """Two units at most: "3 h 05 min", "4 min 10 s", "0.8 s"."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


FILTERS |= {"duration": duration_text, "one_thread": one_thread}


def chapters_table(runs: Mapping[str, Mapping]) -> Html:
    """A row a page that is executed, but for those that show this; `runs` is what `book_runs` gives."""
    pages = [chapter for chapter, page in CHAPTERS.items() if not page.shows_runs]
    return render("status_chapters.html", rows=[(chapter, runs.get(chapter)) for chapter in pages])


def records_table(records: Sequence[Record]) -> Html:
    """A row a record, claim by claim, and whether its claim's verdict is drawn from it."""
    rows = {
        key: sorted((each for each in records if each.claim == key), key=lambda each: each.started)
        for key in EXPERIMENTS
    }
    elsewhere = {key: _shown_by(key, records) for key, found in rows.items() if not found}
    return render(
        "status_records.html", rows=rows, records=records, counts=_counts, data=_data, elsewhere=elsewhere
    )


def _shown_by(key: str, records: Sequence[Record]) -> list[str]:
    """The claims whose records the verdicts on a claim are drawn from."""
    scales = CLAIMS[key].scales if key in CLAIMS else ()
    return sorted({each.claim for scale in scales for each in judge(key, records, scale).records})


def _counts(record: Record, records: Sequence[Record]) -> str:
    """Whether the verdict on the claim that it was made for is drawn from it, and if not, why."""
    if record.claim not in CLAIMS:
        return "a study without a verdict"
    verdict = judge(record.claim, records, record.scale)
    if any(each is record for each in verdict.records):
        return "yes"
    other = (
        "another setting has more repetitions, a longer training, or is nearer to the preset"
        if verdict.records
        else "a further data set is needed"
    )
    return f"no: {CLAIMS[record.claim].why_not(record) or other}"


def _data(record: Record) -> str:
    """The data set, if there is one, the repetitions, how fast images were trained on, and by how many sources."""
    number = len(record.repetitions)
    repetitions = f"seed {record.seed}, {number} repetition{'s' if number > 1 else ''}"
    pace, sources = record.notes.get("images_per_second"), record.notes.get("sources", ())
    fast = f"{min(pace)} to {max(pace)} images/s" if pace else ""
    mixed = f"trained by {len(sources)} versions of the source" if sources else ""
    return ", ".join(filter(None, (record.parameters.get("dataset"), repetitions, fast, mixed)))


def missing_table(records: Sequence[Record]) -> Html:
    """A row a claim and scale without a record, with the command that makes one."""
    rows = [
        (claim, scale, command(claim, scale))
        for key, claim in CLAIMS.items()
        for scale in claim.scales
        if judge(key, records, scale).word == NOT_RUN
    ]
    return render("status_missing.html", rows=rows)


def command(claim: Claim, scale: str) -> str:
    """The command that makes a record of the claim at a scale: its own, or another's that shows it and has its data."""
    name = next(each for each in (claim.key, *claim.also_in) if _fits(claim, each, scale))
    permuted = " -p permute=true" if claim.key == "permuted" else ""
    return f"python -m src record {name}{permuted} --preset {scale}"


def _fits(claim: Claim, name: str, scale: str) -> bool:
    """Whether the preset of the experiment `name` gives the scale, and the data that the claim needs."""
    settings = resolve(EXPERIMENTS[name].chapter, preset=scale, claim=name)
    has_data = not claim.data or settings.dataset == claim.data[scale][0]
    return has_data and scale_of(name, settings) == scale
