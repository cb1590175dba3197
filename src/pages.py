"""HTML fragments of the book's pages: verdict boxes, the footer that says where numbers come from, the claims table."""

import os
from collections.abc import Iterable
from html import escape
from pathlib import Path
from statistics import fmean, stdev

from src.claims import CLAIMS, NOT_RUN, SCALES, Claim, Verdict, judge
from src.parameters import notebook
from src.records import Record

# The command line names here the folder in which a chapter leaves its records; unset, a chapter leaves none.
OUT_VARIABLE = "SPATIAL_OUT"


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
    for check, passed in zip(verdict.claim.checks, verdict.passed, strict=True):
        values = verdict.values[check.metric]
        yield (
            f"{'✓' if passed else '✗'} {escape(str(check))}: measured {quote(values)} (n = {len(values)})"
            f" <small>{escape(check.reason)}</small>"
        )


def _style(verdict: Verdict) -> str:
    return "not-run" if verdict.word == NOT_RUN else verdict.word


def footer(*records: Record) -> Html:
    """Commit, parameters, device, versions and wall time of the records on a page; leaves them where a run asks."""
    out = os.environ.get(OUT_VARIABLE)
    for record in records if out else ():
        record.save(Path(out) / "records" / record.claim)
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
    names = ("train_limit", "image_size", "patch_size", "embed_dim", "depth", "epochs")
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
        f"{check.metric} {quote(verdict.values[check.metric])} (n = {len(verdict.values[check.metric])});"
        f" {check.over} {check.sign} {check.bound:g} {'✓' if passed else '✗'}"
        for check, passed in zip(verdict.claim.checks, verdict.passed, strict=bool(verdict.passed))
    ]
    wanted = [f"— ({check})" for check in verdict.claim.checks]
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
    place = "record" if "claims_table(" in notebook(claim.chapter).read_text() else "verdict"
    return f'<a href="{claim.chapter}.html#{place}-{claim.key}">{claim.chapter}</a>'
