"""What is noted of each execution of a chapter: run.json, beside the executed notebook."""

import json
from pathlib import Path

from src.common.folders import visible
from src.common.sources import ROOT
from src.experiments.table import CHAPTERS

BOOK = ROOT / "book"
BOOK_OUT = ROOT / "outputs" / "book"


def notebook(chapter: str) -> Path:
    return BOOK / f"{chapter}.ipynb"


def read_run(out: Path) -> dict:
    """What run.json says of a finished run; empty where there is none."""
    try:
        return json.loads((out / "run.json").read_text())
    except (OSError, ValueError):
        return {}


def book_runs(folder: Path | None = None) -> dict[str, dict]:
    """run.json of each chapter that the command `book` executed into `folder`, its own if none is named, with the
    `device` of its records.

    Those of pages that show runs themselves are left out.
    """
    folder = folder or BOOK_OUT
    runs = {name: read_run(folder / name) for name, page in CHAPTERS.items() if not page.shows_runs}
    return {name: done | {"device": _device(folder / name)} for name, done in runs.items() if done}


def _device(out: Path) -> str:
    """Where a run computed, by the first of its records; empty where it left none."""
    first = next(iter(visible(out, "records/*/record.json")), None)
    return json.loads(first.read_text())["device"] if first else ""


def title(chapter: str) -> str:
    """A chapter's heading, as its notebook has it."""
    first = json.loads(notebook(chapter).read_text())["cells"][0]["source"]
    return next(line.removeprefix("# ").strip() for line in first if line.startswith("# "))
