"""Running a chapter: one execution by papermill, into a folder that holds it whole or is not there."""

import json
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from src.common import sources
from src.common.folders import new_folder, remove_parts, visible
from src.evidence import records
from src.experiments.base import Parameters
from src.experiments.resolve import resolve
from src.experiments.table import CHAPTERS, EXPERIMENTS
from src.workshop.measure import OUT_VARIABLE
from src.workshop.runs import book_runs, notebook, read_run

# What a module of src reads from book/, by the module.
READS = {
    "src/evidence/paper_figures.py": "book/paper_figures.yaml",
    "src/experiments/resolve.py": "book/presets/*.yaml",
}


class ChapterError(RuntimeError):
    """A chapter failed while it ran. `refused` is true where it refused its input rather than broke."""

    def __init__(self, message: str, refused: bool) -> None:
        super().__init__(message)
        self.refused = refused


def import_path() -> str:
    """PYTHONPATH with which another process imports this very `src`."""
    return os.pathsep.join(filter(None, [str(sources.ROOT), os.environ.get("PYTHONPATH")]))


def chapter_digest(chapter: str) -> str:
    """What a chapter's outputs depend on: its cells, the source it runs and what it reads, results, environment."""
    page, cells = CHAPTERS[chapter], json.loads(notebook(chapter).read_text())["cells"]
    pieces = ("".join(cell["source"]) + " ".join(cell["metadata"].get("tags", [])) for cell in cells)
    code = [each["source"] for each in cells if each["cell_type"] == "code"]
    code = "\n".join("".join(source) for source in code)
    experiments = [f"import src.experiments.{EXPERIMENTS[claim].module}" for claim in page.measures]
    requirements = sorted(sources.ROOT.glob("requirements.*"))
    shown = visible(records.RESULTS, page.shows) if page.shows else []
    imported = sources.imported_files("\n".join([code, *experiments]))
    read = [sorted(sources.ROOT.glob(READS[each])) for each in READS if sources.ROOT / each in imported]
    files = [*imported, *chain(*read), *requirements, *shown]
    runs = repr(book_runs()) if page.shows_runs else ""
    return sources.digest(files, *pieces, repr(sources.versions()), runs)


def run(
    chapter: str, settings: Parameters, out: str | Path, *, report: Callable[[str], None] = lambda line: None
) -> Path:
    """Execute a chapter into the new folder `out`: the notebook, its records and run.json, all or nothing.

    A folder that holds the same chapter, parameters and digest already is left as it is.

    Raises
    ------
    FileExistsError : the folder holds anything else. ChapterError : the chapter failed; nothing is left behind.
    """
    out = Path(out)
    wanted = wanted_run(chapter, settings)
    if finished(out, wanted):
        report(f"{out} holds this run already")
        return out
    started, clock = datetime.now(UTC), time.perf_counter()
    with new_folder(out) as folder:
        _execute(chapter, settings, folder, report)
        done = {
            **wanted,
            "started": started.isoformat(timespec="seconds"),
            "wall_seconds": round(time.perf_counter() - clock, 1),
            "commit": sources.commit(),
            "versions": sources.versions(),
        }
        (folder / "run.json").write_text(json.dumps(done, indent=1) + "\n")
    return out


def wanted_run(chapter: str, settings: Parameters) -> dict[str, object]:
    """What run.json says of a finished run of that chapter with those settings, as the source now is."""
    return {"chapter": chapter, "parameters": settings.model_dump(), "digest": chapter_digest(chapter)}


def finished(out: Path, wanted: Mapping[str, object]) -> bool:
    """Whether `out` is there and holds the wanted run. FileExistsError where it holds anything else."""
    if not out.exists():
        return False
    remove_parts(out)
    if not holds(out, wanted):
        raise FileExistsError(
            f"{out} is in use by {_occupant(out)}; choose another --out, or remove it first"
        )
    return True


def holds(out: Path, wanted: Mapping[str, object]) -> bool:
    """Whether `out` is a finished run of the wanted chapter, parameters and digest."""
    done = read_run(out)
    return all(done.get(key) == value for key, value in wanted.items())


def _occupant(out: Path) -> str:
    done = read_run(out)
    return f"another run ({done['chapter']}, {done['started']})" if done else "other files"


def _execute(chapter: str, settings: Parameters, folder: Path, report: Callable[[str], None]) -> None:
    import papermill
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    logging.getLogger("papermill").setLevel(logging.ERROR)  # it warns of a parameter that is not in the cell
    defaults = resolve(chapter).model_dump()
    changed = {name: value for name, value in settings.model_dump().items() if value != defaults[name]}
    with (
        _environment({OUT_VARIABLE: str(folder.resolve()), "PYTHONPATH": import_path()}),
        _ticking(chapter, report),
        tempfile.TemporaryDirectory(prefix="kernel-") as sockets,  # of its own: chapters may run side by side
    ):
        try:
            papermill.execute_notebook(
                notebook(chapter),
                folder / f"{chapter}.ipynb",
                parameters=changed,
                kernel_name="python3",
                cwd=Path.cwd(),  # folders are the caller's
                progress_bar=sys.stderr.isatty(),
                coalesce_streams=True,  # or one cell's lines may stand in two boxes
                # sockets in files: no ports, no strangers
                config=Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/ipc"}),
            )
        except PapermillExecutionError as error:
            refused = error.ename in ("ValueError", "FileNotFoundError", "PermissionError")
            reason = error.evalue.strip().split("\n")[0]
            raise ChapterError(f"{chapter}: {error.ename}: {reason}", refused) from error


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _ticking(chapter: str, report: Callable[[str], None], seconds: float = 10) -> Iterator[None]:
    """One line every few seconds, where there is no terminal for a bar."""
    done, clock = threading.Event(), time.perf_counter()

    def tick() -> None:
        while not done.wait(seconds):
            report(f"{chapter}: {time.perf_counter() - clock:.0f} s")

    thread = threading.Thread(target=tick, daemon=True)
    if not sys.stderr.isatty():
        thread.start()
    try:
        yield
    finally:
        done.set()
