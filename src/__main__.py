"""The command line: python -m src list | run | record | sweep | book | check."""

import argparse
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from src import parameters, records
from src.claims import CLAIMS, find


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 done, 1 failed while running, 2 refused before anything was written."""
    options = build_parser().parse_args(arguments)
    from src.chapters import ChapterError

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
    except (ArithmeticError, RuntimeError) as error:
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

    command("list", list_chapters, "chapters, their parameters and presets, and the claims")
    run = command("run", run_chapter, "execute one chapter by papermill")
    run.add_argument("chapter")
    record = command("record", record_claim, "one claim's record, without a notebook")
    record.add_argument("claim")
    sweep = command("sweep", sweep_chapter, "execute a chapter at every point of a grid, several at a time")
    sweep.add_argument("chapter")
    sweep.add_argument(
        "-g",
        "--grid",
        action="append",
        default=[],
        metavar="NAME=VALUES",
        help="START:STOP (integers, STOP excluded) or a,b,c; a;b;c where a value is itself a list. "
        "Several -g make every combination",
    )
    for each in (run, record, sweep):
        each.add_argument(
            "-p",
            "--parameter",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="may be given several times",
        )
        each.add_argument(
            "--preset", default=parameters.LAPTOP, help="a file of book/presets (default: the cell's values)"
        )
    run.add_argument("--out", type=Path, help="a new folder (default: outputs/<chapter and what differs>)")
    record.add_argument(
        "--out", type=Path, default=records.RESULTS, help="folder of records (default: results)"
    )
    sweep.add_argument(
        "--out",
        type=Path,
        help="a folder for the points, at a path that all workers share (default: outputs/sweeps/<chapter and grid>)",
    )
    sweep.add_argument("--workers", help="processes on this machine (default: one a core)")
    sweep.add_argument(
        "--scheduler", metavar="ADDRESS", help="a running dask scheduler, instead of --workers"
    )
    sweep.add_argument(
        "--retries", default="2", help="how often a point that broke is tried again (default: 2)"
    )
    book = command("book", build_book, "execute what changed, then build the HTML book")
    book.add_argument(
        "--update", action="store_true", help="also replace the committed chapters by the executed ones"
    )
    command("check", check_machine, "is this machine ready: versions, device, data, disk")
    return parser


def list_chapters(options: argparse.Namespace) -> None:
    for chapter in parameters.chapters():
        print(chapter)
        for parameter in parameters.read_parameters(chapter).values():
            print(f"  {parameter.name} = {parameter.default!r}  ({parameter.rule}) {parameter.meaning}")
        claims = [claim.key for claim in CLAIMS.values() if claim.chapter == chapter]
        if claims:
            print(f"  claims: {', '.join(claims)}")
    print(f"presets: {', '.join(parameters.presets())}")
    for preset in parameters.presets():
        for section, values in parameters.preset_sections(preset).items():
            print(f"  {preset}, {section}: {', '.join(f'{name}={value}' for name, value in values.items())}")


def run_chapter(options: argparse.Namespace) -> None:
    from src import chapters

    chapter = parameters.notebook(options.chapter).stem
    values = parameters.resolve(chapter, options.parameter, preset=options.preset)
    out = options.out or Path("outputs") / _slug(chapter, options)
    print(chapters.run(chapter, values, out, report=_report))


def sweep_chapter(options: argparse.Namespace) -> int:
    from src import sweep

    chapter = parameters.notebook(options.chapter).stem
    points = sweep.grid_points(chapter, options.grid, options.parameter, preset=options.preset)
    workers = _count("--workers", options.workers, least=1)
    if workers and options.scheduler:
        raise ValueError(
            f"--workers = {workers}: the scheduler at {options.scheduler} has its own; leave it out"
        )
    outcomes = sweep.run(
        chapter,
        points,
        options.out or Path("outputs") / "sweeps" / _slug(chapter, options, options.grid),
        workers=workers,
        scheduler=options.scheduler,
        retries=_count("--retries", options.retries, least=0),
        report=_report,
    )
    print(sweep.table(outcomes))
    return int(any(outcome.status == sweep.FAILED for outcome in outcomes.values()))


def record_claim(options: argparse.Namespace) -> None:
    claim = find(options.claim)
    values = parameters.resolve(claim.chapter, options.parameter, preset=options.preset, claim=claim.key)
    folder = options.out / claim.key / _slug(options.preset, options)
    writes = os.environ.get("RANK", "0") == "0"  # under torchrun one process writes what all of them compute
    if writes and folder.exists():
        raise FileExistsError(f"{folder} holds a record already; choose another --out, or remove it first")
    from src.recipes import REGISTRY, scaling, synthetic, vision  # noqa: F401  (importing them registers their recipes)
    from src.synthetic.realistic import DivergenceError

    if not writes:
        REGISTRY[claim.key](values, claim.key)
        return
    try:
        with records.new_folder(folder) as part:
            record = REGISTRY[claim.key](values, claim.key)
            record.write(part)
    except DivergenceError as error:
        kept = records.save_arrays(folder.with_name(f"{folder.name}-diverged.npz"), vars(error.trajectory))
        raise ArithmeticError(f"{error}; the trajectory up to there is in {kept}") from error
    print(folder)
    for metric in record.metrics:
        print(f"  {metric} {record.text(metric, 4)}")


def build_book(options: argparse.Namespace) -> None:
    from src import chapters

    html = chapters.build_book(_report, update=options.update)
    print(f"book: {html / 'index.html'}")


def check_machine(options: argparse.Namespace) -> None:
    import shutil

    import torch

    data = Path(os.environ.get("SPATIAL_DATA", "data"))
    found = sorted(path.name for path in data.iterdir() if path.is_dir()) if data.is_dir() else []
    rows = {
        **records.versions(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU only",
        "threads": torch.get_num_threads(),
        "data": f"{data}: {', '.join(found) or 'nothing there; the chapters run on digits'}",
        "free disk": f"{shutil.disk_usage(Path.cwd()).free / 2**30:.0f} GiB",
    }
    for name, text in rows.items():
        print(f"{name:<14} {text}")


def _slug(start: str, options: argparse.Namespace, grid: Iterable[str] = ()) -> str:
    """A folder name that tells what differs from the defaults."""
    from src.chapters import folder_part

    preset = [options.preset] if options.preset not in (parameters.LAPTOP, start) else []
    # a checkpoint_folder does not change what comes out
    changed = [text for text in options.parameter if not text.startswith("checkpoint_folder=")]
    return "-".join([start, *preset, *map(folder_part, [*changed, *grid])])


def _count(option: str, text: str | None, least: int) -> int | None:
    if text is None:
        return None
    rule = parameters.Parameter(option, None, "int", (f"≥ {least}",), "")
    return rule.check(rule.parse(text), {})


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"cannot write or read {error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's way to say Ctrl-C
    sys.exit(main())
