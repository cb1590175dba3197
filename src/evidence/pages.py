"""HTML fragments of the book's pages: verdict boxes, the footer that says where numbers come from, the claims table."""

from collections.abc import Iterable, Mapping
from html import escape
from math import inf
from statistics import fmean, median

from src.evidence.claims import CLAIMS, SCALES, Claim, Statement, find
from src.evidence.records import Record, known
from src.evidence.verdicts import CONTRADICTED, HOLDS, INCONCLUSIVE, NOT_RUN, Finding, Verdict, judge
from src.experiments.table import CHAPTERS


class Html(str):
    """A fragment that a notebook shows as HTML."""

    def _repr_html_(self) -> str:
        return str(self)


MARKS = {HOLDS: "✓", CONTRADICTED: "✗", INCONCLUSIVE: "?"}
# How values are written: factor, number, and what follows.
UNITS = {"": (1, "z.3g", ""), "%": (100, "z.1f", " %"), "points": (100, "+z.1f", " points")}
UNITS |= {"logits": (1, "z.1f", " logits")}


def verdict_box(record: Record, claim: str | None = None) -> Html:
    """The end of a chapter: the verdict of a live run on its claim, or on another that it shows, in plain words.

    One neutral line where the run is no evidence for the claim: other data than the claim's, a variant.
    """
    key = claim or record.claim
    why_not = find(key).why_not(record)
    if why_not:
        return missing(f"{key}: no verdict, since {why_not}.", f"verdict-{key}")
    verdict = judge(key, [record], record.scale)
    items = "".join(f"<li>{line}</li>" for line in _lines(verdict))
    seen = [f"{verdict.scale} scale"]
    if "dataset" in record.parameters:
        seen.append(f"on {record.parameters['dataset']}")
    title = f"<strong>{verdict.claim.key}: {verdict.word}</strong> ({', '.join(seen)})"
    return Html(
        f'<div id="verdict-{verdict.claim.key}" class="verdict verdict-{_style(verdict)}"><p>{title}</p>'
        f"<p>{escape(verdict.claim.words)}</p><ul>{items}</ul></div>"
    )


def _lines(verdict: Verdict) -> Iterable[str]:
    """A line a statement: what was measured and needed, in words; behind it, small, interval, metric, reason, date."""
    several = len({finding.dataset for finding in verdict.findings}) > 1
    oldest = min((record.started[:10] for record in verdict.records), default="")
    for finding in verdict.findings:
        statement, on = finding.statement, f"{finding.dataset}: " if several else ""
        late = ", after the record was made" if oldest < statement.since else ""
        behind = (
            f"{statement.metric}, {_spread(finding)}; {statement.reason}; rule of {statement.since}{late}"
        )
        yield (
            f"{MARKS[finding.word]} {escape(f'{on}{_measured(finding)}; {_needed(statement)}')}"
            f"{_doubt(finding)}. <small>{escape(behind)}</small>"
        )


def _measured(finding: Finding) -> str:
    """The statement's words with the mean, or with the interval that the record gives."""
    statement, values = finding.statement, known(finding.values)
    if statement.over == "interval":
        text = _range(finding.interval, statement.unit)
    else:
        text = _amount(fmean(values), statement.unit) if values else "without a value"
    return statement.words.format(text)


def _needed(statement: Statement) -> str:
    """at least 3 logits were needed in every repetition"""
    (low, high), unit = statement.within, statement.unit
    if high == inf:
        bounds = f"at least {_bound(low, unit)}"
    elif low == -inf:
        bounds = f"at most {_bound(high, unit)}"
    else:
        bounds = f"between {_bound(low, unit).removesuffix(UNITS[unit][2])} and {_bound(high, unit)}"
    verb = "were" if unit in ("points", "logits") else "was"
    return f"{bounds} {verb} needed" + (" in every repetition" if statement.over == "every" else "")


def _doubt(finding: Finding) -> str:
    """Why nothing can be said, where nothing can."""
    if finding.word != INCONCLUSIVE:
        return ""
    if finding.interval is None:
        return ": one repetition cannot say" if len(finding.values) == 1 else ": too few values to say"
    return ": the repetitions disagree" if finding.statement.over == "every" else ": too uncertain to say"


def _spread(finding: Finding) -> str:
    """The interval that was judged, and how many repetitions it comes from."""
    statement, count = finding.statement, f"n = {finding.repetitions}"
    if finding.interval is None:
        return count
    if statement.over == "every":
        return f"{_range(finding.interval, statement.unit)}, {count}"
    mean = " of the mean" if statement.over == "mean" else ""
    confidence = f"{statement.confidence:.0%}".replace("%", " %")
    return f"{confidence} interval{mean} {_range(finding.interval, statement.unit)}, {count}"


def _amount(value: float, unit: str) -> str:
    factor, number, after = UNITS[unit]
    return f"{factor * value:{number}}{after}"


def _range(interval: tuple[float, float], unit: str) -> str:
    return f"{_amount(interval[0], unit).removesuffix(UNITS[unit][2])} to {_amount(interval[1], unit)}"


def _bound(value: float, unit: str) -> str:
    """A bound, with as many digits as it was given."""
    return f"{UNITS[unit][0] * value:.6g}{UNITS[unit][2]}"


def _style(verdict: Verdict) -> str:
    return "not-run" if verdict.word == NOT_RUN else verdict.word


def footer(*records: Record) -> Html:
    """Commit, parameters, device, versions and wall time of the records on a page."""
    first = records[0]
    parameters = {name: value for record in records for name, value in record.parameters.items()}
    rows = {
        "commit": f"{first.commit} (source digest {', '.join(sorted({r.source_digest for r in records}))})",
        "parameters": ", ".join(f"{name} = {value}" for name, value in parameters.items()),
        "device": ", ".join(filter(None, (first.device, first.precision))),
        "versions": ", ".join(f"{name} {number}" for name, number in first.versions.items()),
        "run": f"{first.started}, {sum(r.wall_seconds for r in records):.1f} s of computation",
    }
    lines = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in rows.items())
    return Html(f'<dl class="run-footer">{lines}</dl>')


def origin(record: Record) -> Html:
    """Which record the figures that follow are drawn from: claim, scale, setting, repetitions, device, date."""
    names = ("num_patches", "train_limit", "image_size", "patch_size", "embed_dim", "depth", "epochs")
    setting = ", ".join(f"{name} {record.parameters[name]}" for name in names if name in record.parameters)
    text = f"{record.claim}, {record.scale} scale, n = {record.parameters['num_seeds']}: {_origin(record)}"
    return Html(f'<p class="origin"><strong>Record</strong> {escape(text)} ({escape(setting)})</p>')


def missing(text: str, anchor: str = "") -> Html:
    """A neutral line in the place of something that was not run, or that shows nothing."""
    name = f'id="{anchor}" ' if anchor else ""
    return Html(f'<div {name}class="verdict verdict-not-run"><p>{escape(text)}</p></div>')


def claims_overview(records: list[Record]) -> Html:
    """All claims at a glance: one row a claim, one verdict a scale."""
    head = "".join(f"<th>{column}</th>" for column in ("claim", *(f"{scale} scale" for scale in SCALES)))
    rows = "".join(
        f'<tr><td><a href="#record-{claim.key}">{claim.key}</a></td>'
        + "".join(f"<td>{_badge(claim, records, scale)}</td>" for scale in SCALES)
        + "</tr>"
        for claim in CLAIMS.values()
    )
    return Html(f'<table class="overview"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>')


def _badge(claim: Claim, records: list[Record], scale: str) -> str:
    """The verdict at one scale; nothing where the claim has no such scale."""
    if scale not in claim.scales:
        return '<span class="no-scale">—</span>'
    verdict = judge(claim.key, records, scale)
    return f'<span class="verdict verdict-{_style(verdict)}">{verdict.word}</span>'


def claims_table(records: list[Record], chapter: str | None = None) -> Html:
    """The claims, all or a chapter's, each with one row a scale; what is missing is shown as missing."""
    claims = [claim for claim in CLAIMS.values() if chapter in (None, claim.chapter)]
    bodies = "".join(
        f'<tbody id="record-{claim.key}">{_claim_head(claim)}'
        + "".join(_scale_row(judge(claim.key, records, scale)) for scale in claim.scales)
        + "</tbody>"
        for claim in claims
    )
    return Html(f'<table class="claims">{bodies}</table>')


def _claim_head(claim: Claim) -> str:
    return (
        f'<tr class="claim"><th colspan="4"><strong>{claim.key}</strong> {escape(claim.words)}'
        f" <small>[{claim.known}] The paper: {escape(claim.paper_value)}."
        f" Shown in {_link(claim)}.</small></th></tr>"
    )


def _scale_row(verdict: Verdict) -> str:
    asked = [
        f"— {escape(each.words.format('…'))}; {_needed(each)} <small>({each.metric}, rule of {each.since})</small>"
        for each in verdict.claim.statements_at(verdict.scale)
    ]
    cells = {
        "scale": verdict.scale,
        "verdict": f'<span class="verdict verdict-{_style(verdict)}">{verdict.word}</span>',
        "measured and needed": "<br>".join(list(_lines(verdict)) or asked),
        "made with": "<br>".join(sorted({escape(_origin(record)) for record in verdict.records})) or "—",
    }
    return "<tr>" + "".join(f'<td data-label="{name}">{cell}</td>' for name, cell in cells.items()) + "</tr>"


def _origin(record: Record) -> str:
    data = f"{record.parameters['dataset']}, " if "dataset" in record.parameters else ""
    return f"{data}{record.device}, {record.started[:10]}, commit {record.commit}"


def _link(claim: Claim) -> str:
    """A link to the chapter's table of records where it has one, else to its verdict."""
    place = "record" if CHAPTERS[claim.chapter].shows else "verdict"
    return f'<a href="{claim.chapter}.html#{place}-{claim.key}">{claim.chapter}</a>'


def promises_table(benchmarks: Mapping[str, Mapping[str, Mapping]]) -> Html:
    """Every promise on speed: what was promised and what was measured, on a CPU and on an accelerator."""
    columns = ("promise", "reference", "CPU", "GPU", "measured on")
    head = "".join(f"<th>{column}</th>" for column in columns)
    rows = "".join(f"<tr>{_promise_cells(by_device)}</tr>" for by_device in benchmarks.values())
    return Html(f'<table class="promises"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>')


def _promise_cells(by_device: Mapping[str, Mapping]) -> str:
    first = next(iter(by_device.values()))
    made = (
        f"{each['device']}, torch {each['versions']['torch']}, {each['date']}" for each in by_device.values()
    )
    cells = {
        "promise": escape(first["promise"]["text"]),
        "reference": escape(first["reference"]),
        **{
            name.upper().replace("CUDA", "GPU"): _ratio(first["promise"], by_device, name)
            for name in ("cpu", "cuda")
        },
        "measured on": "<br>".join(map(escape, made)),
    }
    return "".join(f'<td data-label="{name}">{cell}</td>' for name, cell in cells.items())


def _ratio(promise: Mapping, by_device: Mapping[str, Mapping], device: str) -> str:
    """What was measured beside its bound; what was not measured is said to be missing."""
    limit = promise["at_most_seconds"]
    bound = f"{limit:g} s" if limit else (promise["at_most"] or promise["at_least"]).get(device)
    shown = f"{bound:.3g}" if isinstance(bound, float) else bound
    wanted = "no bound" if bound is None else f"{promise['kind']} {shown}"
    if device not in by_device:
        promised = device in promise["at_most"] | promise["at_least"]
        return f"not measured: none at hand <small>({wanted})</small>" if promised else "—"
    measured = by_device[device]
    mark = {True: " ✓", False: " ✗", None: ""}[measured["kept"]]
    return f"<strong>{measured['measured']}{mark}</strong> <small>({wanted})</small>"


def timings_table(benchmarks: Mapping[str, Mapping[str, Mapping]]) -> Html:
    """All that was timed: median, fastest and slowest of the repetitions, peak memory, throughput, what was checked."""
    columns = ("what", "median", "fastest to slowest", "peak memory", "throughput")
    head = "".join(f"<th>{column}</th>" for column in columns)
    bodies = "".join(
        f'<tbody><tr><th colspan="{len(columns)}">{escape(key)}, {escape(each["device"])}: '
        f"<small>{escape(each['agreement'])}</small></th></tr>{''.join(map(_timing_row, each['rows']))}</tbody>"
        for key, by_device in benchmarks.items()
        for each in by_device.values()
    )
    return Html(f'<table class="timings"><thead><tr>{head}</tr></thead>{bodies}</table>')


def _timing_row(row: Mapping) -> str:
    seconds = row["seconds"]
    span = f"{seconds_text(min(seconds))} to {seconds_text(max(seconds))} (n = {len(seconds)})"
    pace = "" if row["throughput"] is None else f"{row['throughput']:,.0f} {row['unit']}"
    memory = f"{row['peak_bytes'] / 2**20:,.1f} MiB" if row["peak_bytes"] else "—"
    cells = (escape(row["name"]), seconds_text(median(seconds)), span, memory, escape(pace))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def seconds_text(seconds: float) -> str:
    """Three significant digits in s, ms or µs."""
    unit, size = next((pair for pair in (("s", 1.0), ("ms", 1e-3)) if seconds >= pair[1]), ("µs", 1e-6))
    return f"{seconds / size:.3g} {unit}"
