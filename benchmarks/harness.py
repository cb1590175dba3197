"""How a promise on speed is measured: reference and contender in one run, a table, a ratio last.

A script of this folder checks first that both compute the same thing, then calls `compare` and, where the cost has a
law, `curve`; `finish` prints and, with ``--save``, writes one JSON file for the book's page on speed.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from statistics import linear_regression, median

import torch

from src.common.device import device_name, processor
from src.common.folders import write_whole
from src.common.sources import commit, versions
from src.evidence.pages import seconds_text
from src.evidence.records import RESULTS

os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # the memory profiler reports its start and stop at level 5


@dataclass(frozen=True)
class Promise:
    """What is promised of contender and reference.

    key : name of the script and of its file under results/benchmarks. text : the promise in words.
    at_most : bound on contender's time / reference's by device type; at_least : bound on reference's / contender's.
    One of the two is given; a device type without a bound promises nothing. Or, where the promise is absolute,
    at_most_seconds : bound on contender's median time; the ratio, contender's time / reference's, is then no promise.
    """

    key: str
    text: str
    at_most: dict[str, float] = field(default_factory=dict)
    at_least: dict[str, float] = field(default_factory=dict)
    at_most_seconds: float | None = None


@dataclass(frozen=True)
class Row:
    """One line of the table: seconds of each repetition of one call, and the peak of memory allocated in it."""

    name: str
    seconds: list[float]
    peak_bytes: int
    throughput: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class Curve:
    """Cost against work: median seconds of one call at each x, and the physical limit where one is known."""

    name: str
    variable: str
    x: list[float]
    seconds: list[float]
    floor_seconds: list[float] | None = None
    floor: str = ""


def arguments(description: str) -> argparse.Namespace:
    """``--device auto | cpu | cuda``, ``--save``, ``--repeats``; `device` is a torch.device afterwards."""
    parser = argparse.ArgumentParser(description=description.strip().splitlines()[0])
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--repeats", type=int, default=7, help="timed rounds after one that is not timed")
    parser.add_argument(
        "--save", action="store_true", help="write results/benchmarks/<key>-<cuda | amx | cpu>.json"
    )
    chosen = parser.parse_args()
    if chosen.device == "auto":
        chosen.device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen.device = torch.device(chosen.device)
    return chosen


def compare(
    calls: dict[str, Callable[[], object]],
    *,
    repeats: int,
    device: torch.device,
    work: dict[str, float] | None = None,
    unit: str = "",
) -> list[Row]:
    """Time every call once a round, in turn, so that whatever else the machine does meets them all alike.

    work : units of `unit` (images, say) in one call of each name, for the column of throughput.
    """
    peaks = {name: peak_bytes(call, device) for name, call in calls.items()}  # the round that warms up, too
    seconds = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            seconds[name].append(_seconds(call, device))
    return [
        Row(
            name,
            each,
            peaks[name],
            work[name] / median(each) if work else None,
            f"{unit}/s" if work else "",
        )
        for name, each in seconds.items()
    ]


def curve(
    name: str,
    variable: str,
    points: Iterable[tuple[float, Callable[[], object]]],
    *,
    device: torch.device,
    repeats: int = 3,
    floor: Callable[[float], float] | None = None,
    floor_name: str = "",
) -> Curve:
    """Median seconds at each x, after one call that is not timed; `floor` gives the limit's seconds at x."""
    x, cost = [], []
    for value, call in points:
        call()
        x.append(float(value))
        cost.append(median(_seconds(call, device) for _ in range(repeats)))
    return Curve(name, variable, x, cost, [floor(value) for value in x] if floor else None, floor_name)


def finish(
    promise: Promise,
    rows: list[Row],
    chosen: argparse.Namespace,
    *,
    reference: str,
    contender: str,
    curves: Sequence[Curve] = (),
    agreement: str = "",
    shares: Mapping[str, Mapping[str, float]] | None = None,
) -> float:
    """Print table and ratio, write the file where asked; returns the ratio.

    agreement : what was checked before anything was timed, and how closely both agreed.
    shares : of calls by name, where their time goes, as `time_by_kind` gives it.
    """
    by_name = {row.name: row for row in rows}
    kind = "at least" if promise.at_least else "at most"
    pairs = zip(by_name[contender].seconds, by_name[reference].seconds, strict=True)
    ratios = [b / a if promise.at_least else a / b for a, b in pairs]
    ratio = median(ratios)
    kind_of, bounds = processor(chosen.device), promise.at_most or promise.at_least
    bound = promise.at_most_seconds or bounds.get(kind_of, bounds.get(chosen.device.type))
    measured = median(by_name[contender].seconds) if promise.at_most_seconds else ratio
    kept = None if bound is None else bool(measured >= bound if promise.at_least else measured <= bound)
    print(f"{promise.text}\n{agreement}\n{device_name(chosen.device)}, torch {torch.__version__}\n")
    _print_rows(rows, shares or {}, curves)
    if chosen.save:
        file = RESULTS / "benchmarks" / f"{promise.key}-{kind_of}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "promise": asdict(promise) | {"kind": kind, "bound": bound},
            "reference": reference,
            "contender": contender,
            "ratios": ratios,
            "ratio": ratio,
            "measured": seconds_text(measured) if promise.at_most_seconds else f"{ratio:.2f}",
            "kept": kept,
            "agreement": agreement,
            "rows": [asdict(row) for row in rows],
            "curves": [asdict(each) for each in curves],
            "shares": shares or {},
            "device": device_name(chosen.device),
            "versions": versions(),
            "commit": commit(),
            "date": datetime.now(UTC).date().isoformat(),
        }
        write_whole(file, (json.dumps(content, indent=1) + "\n").encode())
        print(f"written: {file.relative_to(RESULTS.parent)}")
    outcome = "kept" if kept else "missed"
    verdict = "no bound here" if bound is None else f"promised {kind} {bound:g}: {outcome}"
    if promise.at_most_seconds:
        verdict = f"{seconds_text(measured)}, promised {kind} {bound:g} s: {outcome}"
    print(f"ratio {ratio:.2f} ({verdict})")
    return ratio


def _print_rows(
    rows: Iterable[Row], shares: Mapping[str, Mapping[str, float]], curves: Iterable[Curve]
) -> None:
    print(f"{'':40} {'median':>9} {'fastest':>9} {'slowest':>9} {'peak memory':>13}  throughput")
    for row in rows:
        pace = "" if row.throughput is None else f"{row.throughput:,.0f} {row.unit}"
        span = " ".join(f"{seconds_text(f(row.seconds)):>9}" for f in (median, min, max))
        print(f"{row.name:40} {span} {row.peak_bytes / 2**20:>9,.1f} MiB  {pace}")
    for name, parts in shares.items():
        print(f"{name}: {', '.join(f'{kind} {share:.0%}' for kind, share in parts.items())}")
    for each in curves:
        print(f"{each.name}: slope {slope(each.x, each.seconds):.2f} in log-log over {each.variable}")


def time_by_kind(call: Callable[[], object], kinds: Mapping[str, Iterable[str]]) -> dict[str, float]:
    """Shares of a call's time on the CPU in operators of each kind, most first, and in all others.

    kinds : name -> how the names of its operators begin, after "aten::"; the first kind that fits is taken.
    """
    call()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        call()
    spent = dict.fromkeys(kinds, 0.0) | {"all else": 0.0}
    for event in seen.key_averages():
        name = event.key.removeprefix("aten::").lstrip("_")
        fitting = (kind for kind, beginnings in kinds.items() if name.startswith(tuple(beginnings)))
        spent[next(fitting, "all else")] += event.self_cpu_time_total
    total = sum(spent.values())
    return {kind: spent[kind] / total for kind in sorted(spent, key=spent.__getitem__, reverse=True)}


def slope(x: list[float], y: list[float]) -> float:
    """Least-squares slope of log y over log x."""
    return linear_regression([*map(math.log, x)], [*map(math.log, y)]).slope


def peak_bytes(call: Callable[[], object], device: torch.device) -> int:
    """Most bytes that tensors made during one call hold at one time, beyond what was there before it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with torch.autograd.profiler.profile(profile_memory=True) as seen:
        call()
    now = peak = 0
    events = (event for event in seen.kineto_results.events() if event.name() == "[memory]")
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begin = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin
