"""What the book's pages show beside figures: verdict boxes, where numbers come from, the tables of claims and of speed.

The HTML is in `templates`.
"""

import re
from collections.abc import Mapping, Sequence
from html import escape
from statistics import median

from src.evidence import sentences
from src.evidence.claims import CLAIMS, find
from src.evidence.html import FILTERS, Html, render
from src.evidence.records import Record
from src.evidence.statements import Claim
from src.evidence.verdicts import Verdict, judge
from src.experiments.resolve import SCALES
from src.experiments.table import CHAPTERS

Benchmarks = Mapping[str, Mapping[str, Mapping]]  # as `load_benchmarks` gives them


def seconds_text(seconds: float) -> str:
    """Three significant digits in s, ms or µs."""
    unit, size = next((pair for pair in (("s", 1.0), ("ms", 1e-3)) if seconds >= pair[1]), ("µs", 1e-6))
    return f"{seconds / size:.3g} {unit}"


PROCESSORS = {"CPU": ("cpu", "amx"), "GPU": ("cuda",)}
KEPT = {True: "✓", False: "✗"}
FILTERS |= {"seconds": seconds_text, "median": median}
FILTERS |= {"found": sentences.found, "asked": sentences.asked, "behind": sentences.behind}
FILTERS |= {"one_thread": sentences.one_thread, "unbroken": sentences.unbroken}
KNOWN = {
    "S": "S: seen in a reproduction of the paper",
    "A": "A: stated in its abstract",
    "R": "R: recalled, without the paper's words at hand",
}


def verdict_box(record: Record, claim: str | None = None, *, run: str = "the live run") -> Html:
    """The end of a chapter: the verdict of one run on its claim, or on another that it shows, in plain words.

    `run` is what the page calls it.
    One neutral line where the run is no evidence for the claim: other data than the claim's, a variant.
    """
    key = claim or record.claim
    why_not = find(key).why_not(record)
    if why_not:
        return missing(f"{key}: no verdict, since {why_not}.", f"verdict-{key}")
    verdict = judge(key, [record], record.scale)
    if not verdict.findings:
        first = verdict.claim.data[record.scale][0]
        return missing(f"{key}: no verdict, since it needs the images of {first} as well.", f"verdict-{key}")
    data = [f"on {record.parameters['dataset']}"] if "dataset" in record.parameters else []
    seen = [f"{run}, n = {record.parameters['num_seeds']}", f"{verdict.scale} scale", *data]
    return render("verdict_box.html", verdict=verdict, seen=", ".join(seen))


def footer(*records: Record) -> Html:
    """Commit, parameters, device, versions and wall time of the records on a page."""
    first = records[0]
    parameters: dict[str, dict[str, list[str]]] = {}  # name -> value -> the claims that were run with it
    for record in records:
        for name, value in record.parameters.items():
            parameters.setdefault(name, {}).setdefault(str(value), []).append(record.claim)
    rows = {
        "commit": f"{first.commit} (source digest {', '.join(sorted({r.source_digest for r in records}))})",
        "parameters": ", ".join(f"{name} = {_values(values)}" for name, values in parameters.items()),
        "device": ", ".join(filter(None, (first.device, first.precision))),
        "versions": ", ".join(f"{name} {number}" for name, number in first.versions.items()),
        "run": f"{first.started}, {sum(r.wall_seconds for r in records):.1f} s of computation",
    }
    return render("footer.html", rows=rows)


def _values(claims_by_value: Mapping[str, list[str]]) -> str:
    """The value, where all records of a page agree; else each value with the claims that had it."""
    if len(claims_by_value) == 1:
        return next(iter(claims_by_value))
    return ", ".join(f"{value} ({', '.join(claims)})" for value, claims in claims_by_value.items())


def origin(record: Record) -> Html:
    """Which record the figures that follow are drawn from: claim, scale, setting, repetitions, device, date."""
    names = ("num_patches", "train_limit", "image_size", "patch_size", "embed_dim", "depth", "epochs")
    setting = ", ".join(f"{name} {record.parameters[name]}" for name in names if name in record.parameters)
    made = f"{record.claim}, {record.scale} scale, n = {record.parameters['num_seeds']}: {record.origin}"
    text = f"{made} ({setting})" if setting else made
    return Html(f'<p class="origin"><strong>Record</strong> {escape(text)}</p>')


def missing(text: str, anchor: str = "") -> Html:
    """A neutral line in the place of something that was not run, or that shows nothing."""
    name = f'id="{anchor}" ' if anchor else ""
    return Html(f'<div {name}class="verdict verdict-not-run"><p>{escape(text)}</p></div>')


def claims_overview(records: Sequence[Record], *, beyond: bool = False) -> Html:
    """The paper's claims, or those beyond it, at a glance: a row a claim, a verdict at each scale that it has."""
    rows = [
        (claim, [judge(key, records, scale) if scale in claim.scales else None for scale in SCALES])
        for key, claim in CLAIMS.items()
        if claim.beyond == beyond
    ]
    return render("overview.html", scales=SCALES, rows=rows)


def verdicts_line(records: Sequence[Record], chapter: str) -> Html:
    """The start of a chapter: its claims and the verdicts of the stored records at the scales that were run."""
    rows = []
    for key in (key for key, claim in CLAIMS.items() if claim.chapter == chapter):
        verdicts = [judge(key, records, scale) for scale in CLAIMS[key].scales]
        rows.append((CLAIMS[key], [each for each in verdicts if each.findings] or verdicts[:1]))
    return render("verdicts_line.html", rows=rows)


def claims_table(records: Sequence[Record], chapter: str | None = None, *, beyond: bool = False) -> Html:
    """The paper's claims, those beyond it, or a chapter's, one row a scale; what is missing is shown as missing."""
    rows = [
        (claim, [judge(key, records, scale) for scale in claim.scales])
        for key, claim in CLAIMS.items()
        if claim.chapter == chapter or (chapter is None and claim.beyond == beyond)
    ]
    return render(
        "claims_table.html", rows=rows, chapters=CHAPTERS, chapter=chapter, known=_known, same=_same
    )


def _known(claim: Claim) -> str:
    """What the letters say by which a claim tells how its words are known."""
    return "; ".join(words for letter, words in KNOWN.items() if re.search(rf"\b{letter}\b", claim.known))


def _same(verdict: Verdict, verdicts: Sequence[Verdict]) -> str:
    """The scale at which a claim's table shows the statements of a verdict that was not run; empty if none does."""
    asked, place = {*verdict.claim.statements_at(verdict.scale)}, SCALES.index(verdict.scale)
    shows = [
        each
        for each in verdicts
        if asked <= {*verdict.claim.statements_at(each.scale)}
        and (each.findings or SCALES.index(each.scale) < place)
    ]
    shows.sort(key=lambda each: not each.findings)
    return shows[0].scale if shows and not verdict.findings else ""


def promises_table(benchmarks: Benchmarks) -> Html:
    """Every promise on speed: what was promised and what was measured, on CPUs and on an accelerator."""
    rows = []
    for by_processor in benchmarks.values():
        made = [by_processor[kind] for kinds in PROCESSORS.values() for kind in kinds if kind in by_processor]
        found = {
            name: [_ratio(by_processor[kind], kind) for kind in kinds if kind in by_processor]
            for name, kinds in PROCESSORS.items()
        }
        asked = {name: _wanted(made[0]["promise"], kinds[0]) for name, kinds in PROCESSORS.items()}
        rows.append((made[0], found, asked, made))
    return render("promises.html", rows=rows)


def _ratio(made: Mapping, kind: str) -> tuple[str, str, str]:
    """What was measured, its bound, the kind of processor."""
    wanted = _wanted(made["promise"], kind) or "no bound"
    return f"{made['measured']} {KEPT.get(made['kept'], '')}".strip(), wanted, kind


def _wanted(promise: Mapping, kind: str) -> str:
    """The bound on one kind of processor, in words; empty where nothing is promised of it."""
    bounds = promise["at_most"] | promise["at_least"]
    bound = bounds.get(kind, bounds.get("cpu") if kind == "amx" else None)
    if promise["at_most_seconds"]:
        return f"{promise['kind']} {promise['at_most_seconds']:g} s" if kind != "cuda" else ""
    return f"{promise['kind']} {bound:.3g}" if bound is not None else ""


def timings_table(benchmarks: Benchmarks) -> Html:
    """All that was timed: median, fastest and slowest of the repetitions, peak memory, throughput, what was checked."""
    rows = [(key, each) for key, by_device in benchmarks.items() for each in by_device.values()]
    return render("timings.html", rows=rows)
