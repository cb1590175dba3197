"""The command line: python -m src list | run | record | sweep | book | check."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from src.common.choices import one_of, refusal
from src.common.sources import versions
from src.evidence.claims import CLAIMS
from src.evidence.records import RESULTS
from src.experiments.base import rule
from src.experiments.resolve import (
    LAPTOP,
    chapter_of,
    parse_value,
    preset_sections,
    presets,
    resolve,
    resolve_run,
)
from src.experiments.table import CHAPTERS, EXPERIMENTS
from src.workshop.names import folder_name
from src.workshop.runs import book_runs, title

MOST_AT_ONCE = 1000  # workers, or attempts at a point
LONGEST_WORD = 1000  # of a message: a path can be long, not endless


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 done, 1 failed while running, 2 refused before anything was written."""
    options = build_parser().parse_args(arguments)
    from src.workshop.chapters import ChapterError

    try:
        code = options.command(options) or 0
        sys.stdout.flush()
        return code
    except ChapterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if error.refused else 1
    except BrokenPipeError:  # whoever read our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return 2
    except (ArithmeticError, RuntimeError, MemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        print(str(interrupt) or "interrupted; nothing half-written was left", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m src", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, function, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=function)
        return added

    listed = command("list", list_chapters, "the chapters at a glance; or one chapter's parameters")
    listed.add_argument("chapter", nargs="?", help="show its parameters, what is allowed, and presets")
    run = command("run", run_chapter, "execute one chapter by papermill: a notebook, its records, its page")
    run.add_argument("chapter", help="a name that `list` shows, such as 03_synthetic_training")
    record = command("record", record_claim, "one claim's record, without a notebook")
    record.add_argument("claim", help="a name of the column claims of `list`, such as realistic")
    sweep = command("sweep", sweep_chapter, "execute a chapter at every point of a grid, several at a time")
    sweep.add_argument("chapter", help="a name that `list` shows")
    for each in (run, record, sweep):
        each.add_argument(
            "-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", help="may be given often"
        )
        each.add_argument(
            "--preset",
            default=LAPTOP,
            help=f"a file of book/presets, or {LAPTOP}, the default: for `run` the chapter as it stands",
        )
    run.add_argument("--out", type=Path, help="a new folder (default: outputs/<chapter and what differs>)")
    run.add_argument(
        "--no-html", action="store_true", help="the notebook and its records alone, without its page"
    )
    record.add_argument("--out", type=Path, default=RESULTS, help="folder of records (default: results)")
    _add_sweep_options(sweep)
    book = command("book", build_book, "execute what changed, then build the HTML book")
    book.add_argument("--update", action="store_true", help="also write the executed chapters to book/")
    command("check", check_machine, "is this machine ready: versions, device, data, disk")
    return parser


def _add_sweep_options(sweep: argparse.ArgumentParser) -> None:
    grid = (
        "START:STOP (integers, STOP excluded) or a,b,c; a;b;c where a value is itself a list; more: all pairs"
    )
    sweep.add_argument("-g", "--grid", action="append", default=[], metavar="NAME=VALUES", help=grid)
    folder = "a folder that all workers share (default: outputs/sweeps/<chapter and grid>)"
    sweep.add_argument("--out", type=Path, help=folder)
    sweep.add_argument("--workers", help="points at once on this machine (default: one a core)")
    sweep.add_argument("--scheduler", metavar="ADDRESS", help="a running dask scheduler, for --workers")
    sweep.add_argument("--retries", default="2", help="how often a broken point is tried again (default: 2)")


def list_chapters(options: argparse.Namespace) -> None:
    if options.chapter:
        _list_parameters(chapter_of(options.chapter))
        return
    runs = book_runs()
    rows = [("chapter", "title", "data", "seconds", "claims")]
    for chapter in CHAPTERS:
        only_shows = CHAPTERS[chapter].shows and not _claims(chapter)
        data = getattr(resolve(chapter), "dataset", "records" if only_shows else "drawn")
        seconds = str(round(runs[chapter]["wall_seconds"])) if chapter in runs else "-"
        rows.append((chapter, title(chapter), data, seconds, ", ".join(_claims(chapter)) or "-"))
    print(_aligned(rows))
    print(f"\nseconds: of the last `python -m src book`\npresets: {', '.join(presets())}")
    print("a chapter's parameters: python -m src list CHAPTER")


def _list_parameters(chapter: str) -> None:
    settings = resolve(chapter)
    fields = type(settings).model_fields.items()
    print(f"{chapter}: {title(chapter)}\nclaims: {', '.join(_claims(chapter)) or '-'}\n")
    values = [(name, repr(getattr(settings, name)), rule(field), field.description) for name, field in fields]
    print(_aligned([("parameter", "default", "allowed", "meaning"), *values]))
    for preset in presets():
        for section, changed in preset_sections(preset).items():
            if section == chapter or section in _claims(chapter):
                values = ", ".join(f"{name}={value}" for name, value in changed.items())
                print(f"\npreset {preset}, {section}: {values}")


def _claims(chapter: str) -> list[str]:
    return [claim.key for claim in CLAIMS.values() if claim.chapter == chapter]


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest text, but for the last."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    lines = []
    for *cells, last in rows:
        padded = [text.ljust(width) for text, width in zip(cells, widths, strict=True)]
        lines.append("  ".join([*padded, last]))
    return "\n".join(line.rstrip() for line in lines)


def run_chapter(options: argparse.Namespace) -> None:
    chapter = chapter_of(options.chapter)
    settings = resolve_run(chapter, options.parameter, preset=options.preset)
    from src.workshop import chapters

    changed = [*_preset(options), *options.parameter]
    out = options.out or Path("outputs", folder_name(chapter, changed))
    print(chapters.run(chapter, settings, out, report=_report))
    if not options.no_html:
        from src.workshop import site  # it draws, which a point of a sweep need not

        print(site.of_run(chapter, out))


def sweep_chapter(options: argparse.Namespace) -> int:
    from src.workshop import sweep
    from src.workshop.grid import grid_points

    chapter = chapter_of(options.chapter)
    points = grid_points(chapter, options.grid, options.parameter, preset=options.preset)
    workers = _count("--workers", options.workers, least=1)
    if workers and options.scheduler:
        raise ValueError(
            f"--workers = {workers}: the scheduler {options.scheduler} has its own; leave it out"
        )
    changed = [*_preset(options), *options.parameter, *options.grid]
    outcomes = sweep.run(
        points,
        options.out or Path("outputs", "sweeps", folder_name(chapter, changed)),
        sweep.Way(workers, options.scheduler, _count("--retries", options.retries, least=0)),
        _report,
    )
    print(sweep.table(outcomes))
    return int(any(outcome.status == sweep.FAILED for outcome in outcomes.values()))


def record_claim(options: argparse.Namespace) -> None:
    claim = one_of("claim", options.claim, EXPERIMENTS)
    settings = resolve_run(EXPERIMENTS[claim].chapter, options.parameter, preset=options.preset, claim=claim)
    folder = options.out / claim / folder_name(options.preset, options.parameter)
    from src.workshop.measure import measure_into

    if folder.exists():
        _report(f"{folder} is there already")
    record = measure_into(folder, claim, settings)
    if record:
        print(folder)
        for metric in record.metrics:
            print(f"  {metric} {record.text(metric, 4)}")


def build_book(options: argparse.Namespace) -> None:
    from src.workshop import book

    html = book.build_book(_report, update=options.update)
    print(f"book: {html / 'index.html'}")


def check_machine(options: argparse.Namespace) -> None:
    import shutil

    import torch

    from src.vision.images import data_folder

    data = data_folder()
    found = sorted(path.name for path in data.iterdir() if path.is_dir()) if data.is_dir() else []
    rows = {
        **versions(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU only",
        "threads": torch.get_num_threads(),
        "data": f"{data}: {', '.join(found) or 'nothing there; the chapters run on digits'}",
        "free disk": f"{shutil.disk_usage(Path.cwd()).free / 2**30:.0f} GiB",
    }
    for name, text in rows.items():
        print(f"{name:<14} {text}")


def _preset(options: argparse.Namespace) -> list[str]:
    return [options.preset] if options.preset != LAPTOP else []


def _count(option: str, text: str | None, least: int) -> int | None:
    if text is None:
        return None
    count = parse_value(text, int)
    if not isinstance(count, int) or not least <= count <= MOST_AT_ONCE:
        nearest = least if not isinstance(count, int) or count < least else MOST_AT_ONCE
        raise ValueError(refusal(option, count, f"int, ≥ {least}, ≤ {MOST_AT_ONCE}", nearest))
    return count


def _one_line(error: Exception) -> str:
    line = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        line = f"cannot write or read {error.filename}: {error.strerror}"
    words = (word if len(word) <= LONGEST_WORD else f"{word[:LONGEST_WORD]}…" for word in line.split())
    return " ".join(words)


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
