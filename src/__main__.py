"""The command line: python -m src list | run | record | book | check."""

import argparse
import os
import sys
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
    except KeyboardInterrupt:
        print("interrupted; nothing half-written was left", file=sys.stderr)
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
    for each in (run, record):
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


def _slug(start: str, options: argparse.Namespace) -> str:
    """A folder name that tells what differs from the defaults; of a folder its last part."""
    preset = [options.preset] if options.preset not in (parameters.LAPTOP, start) else []
    parts = [start, *preset]
    for name, _, value in (each.partition("=") for each in options.parameter):
        if name != "checkpoint_folder":  # it does not change what comes out
            parts.append(f"{name}={Path(value).name if name in parameters.FOLDERS else value}")
    return "-".join(part.replace("/", "_").replace(" ", "") for part in parts)


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"cannot write or read {error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
