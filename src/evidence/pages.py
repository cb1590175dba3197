"""HTML fragments of the book's pages: verdict boxes, the footer that says where numbers come from, the claims table."""

from collections.abc import Iterable, Mapping
from html import escape
from statistics import fmean, median, stdev

from src.evidence.claims import CLAIMS, SCALES, Claim
from src.evidence.records import Record
from src.evidence.verdicts import NOT_RUN, Verdict, judge
from src.experiments.table import CHAPTERS


class Html(str):
    """A fragment that a notebook shows as HTML."""

    def _repr_html_(self) -> str:
        return str(self)


def quote(values: list[float], digits: int = 3) -> str:
    """mean ± sample standard deviation; the mean alone where there is one value."""
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{digits}f}{spread}"


def verdict_box(record: Record, claim: str | None = None) -> Html:
    """The end of a chapter: the verdict of a live run on its claim, or on another that it shows, check by check."""
    verdict = judge(claim or record.claim, [record], record.scale)
    if not verdict.records:
        return missing(f"{verdict.claim.key}: no verdict, since models were measured on validation images")
    items = "".join(f"<li>{line}</li>" for line in _check_lines(verdict))
    seen = [f"{verdict.scale} scale"]
    if "dataset" in record.parameters:
        seen.append(f"on {record.parameters['dataset']}")
    title = f"<strong>{verdict.claim.key}: {verdict.word}</strong> ({', '.join(seen)})"
    return Html(
        f'<div id="verdict-{verdict.claim.key}" class="verdict verdict-{_style(verdict)}"><p>{title}</p>'
        f"<p>{escape(verdict.claim.words)}</p><ul>{items}</ul></div>"
    )


def _check_lines(verdict: Verdict) -> Iterable[str]:
    for check, passed in zip(verdict.checks, verdict.passed, strict=True):
        values = verdict.values[check.metric]
        yield (
            f"{'✓' if passed else '✗'} {escape(str(check))}: measured {quote(values)} ({_count(check.metric, verdict)})"
            f" <small>{escape(check.reason)}</small>"
        )


def _count(metric: str, verdict: Verdict) -> str:
    """How many values a mean is of; or, where a record has one value of all its repetitions, how many those are."""
    values, (first, *others) = verdict.values[metric], verdict.records
    repetitions = first.parameters.get("num_seeds", 1)
    one_of_all = len(values) == 1 and not others and repetitions > 1
    return f"one value of {repetitions} repetitions" if one_of_all else f"n = {len(values)}"


def _style(verdict: Verdict) -> str:
    return "not-run" if verdict.word == NOT_RUN else verdict.word


def footer(*records: Record) -> Html:
    """Commit, parameters, device, versions and wall time of the records on a page."""
    first = records[0]
    parameters = {name: value for record in records for name, value in record.parameters.items()}
    rows = {
        "commit": f"{first.commit} (source digest {', '.join(sorted({r.source_digest for r in records}))})",
        "parameters": ", ".join(f"{name} = {value}" for name, value in parameters.items()),
        "device": first.device,
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


def missing(text: str) -> Html:
    """A box in the place of something that was not run."""
    return Html(f'<div class="verdict verdict-not-run"><p>{escape(text)}</p></div>')


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
    measured = [
        f"{check.metric} {quote(verdict.values[check.metric])} ({_count(check.metric, verdict)});"
        f" {check.over} {check.sign} {check.bound:g} {'✓' if passed else '✗'}"
        for check, passed in zip(verdict.checks, verdict.passed, strict=bool(verdict.passed))
    ]
    wanted = [f"— ({check})" for check in verdict.checks]
    cells = {
        "scale": verdict.scale,
        "verdict": f'<span class="verdict verdict-{_style(verdict)}">{verdict.word}</span>',
        "ours; tolerance": "<br>".join(map(escape, measured or wanted)),
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
