"""The book: every chapter executed where it is stale, a core each, and the HTML made of the executions."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from src.common.folders import locked
from src.experiments.resolve import resolve
from src.experiments.table import CHAPTERS
from src.workshop import site, sweep
from src.workshop.chapters import ChapterError, holds, wanted_run
from src.workshop.grid import Point
from src.workshop.runs import BOOK_OUT, notebook, read_run


def build_book(report: Callable[[str], None], *, update: bool = False) -> Path:
    """Execute every chapter at its defaults, where its digest changed, and build the HTML from those executions.

    Returns the HTML folder. With `update` the executed chapters replace the committed ones in book/.

    Raises
    ------
    ChapterError : chapters failed. RuntimeError : the HTML build did, or lacks a page.
    FileExistsError : another build is at work. ValueError : a chapter was edited meanwhile; `update` leaves it.
    """
    BOOK_OUT.mkdir(parents=True, exist_ok=True)
    with locked(BOOK_OUT / ".lock", "another build of the book is at work; wait for its end"):
        for shows_runs in (False, True):  # a page that shows the runs of the others comes after them
            _execute([name for name, page in CHAPTERS.items() if page.shows_runs == shows_runs], report)
        executed = {chapter: BOOK_OUT / chapter for chapter in CHAPTERS}
        if update:
            for chapter, folder in executed.items():
                _replace(chapter, folder)
        report("building the HTML")
        html = site.of_book(executed, BOOK_OUT / "site")
    for chapter, folder in executed.items():
        report(f"{chapter:<24} {read_run(folder)['wall_seconds']:6.1f} s")
    return html


def _execute(chapters: Sequence[str], report: Callable[[str], None]) -> None:
    """Have each chapter's execution at its defaults below BOOK_OUT: the one at hand where its digest still holds."""
    points = [Point(chapter, chapter, resolve(chapter)) for chapter in chapters]
    for point in points:
        out = BOOK_OUT / point.name
        if out.exists() and not holds(out, wanted_run(point.chapter, point.settings)):
            shutil.rmtree(out)
    outcomes = sweep.run(points, BOOK_OUT, sweep.Way(retries=0), report)
    broken = [outcome.reason for outcome in outcomes.values() if outcome.status == sweep.FAILED]
    if broken:
        raise ChapterError("; ".join(broken), refused=False)


def _replace(chapter: str, folder: Path) -> None:
    """Put an executed chapter in the place of the committed one, unless that was edited since."""
    if not holds(folder, wanted_run(chapter, resolve(chapter))):
        fault = "changed since it was executed, and is left as it is; give the command again"
        raise ValueError(f"{notebook(chapter)}: {fault}")
    site.write_back(folder / f"{chapter}.ipynb", notebook(chapter))
