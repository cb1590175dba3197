"""Running chapters: one execution by papermill, and the book made of them."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from src import parameters, records, sources
from src.pages import OUT_VARIABLE

BOOK_OUT = sources.ROOT / "outputs" / "book"

SHOWN = {
    "load_records": "**/record.json",
    "load_benchmarks": "benchmarks/*.json",
}  # call of a page -> its files


class ChapterError(RuntimeError):
    """A chapter failed while it ran. `refused` is true where it refused its input rather than broke."""

    def __init__(self, message: str, refused: bool) -> None:
        super().__init__(message)
        self.refused = refused

    def __reduce__(self) -> tuple:
        """How it travels between processes: with both arguments, of which an exception keeps the first."""
        return type(self), (str(self), self.refused)


def folder_part(text: str) -> str:
    """`name=value` as a part of a folder's name; where the value is a folder, its last part."""
    name, _, value = text.partition("=")
    if name in parameters.FOLDERS:
        text = f"{name}={Path(value).name}"
    return text.replace("/", "_").replace(" ", "")


def chapter_digest(chapter: str) -> str:
    """What a chapter's outputs depend on: its cells, the source it imports, the records it shows, the environment."""
    cells = json.loads(parameters.notebook(chapter).read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    texts = ["".join(cell["source"]) for cell in cells]
    requirements = sorted(sources.ROOT.glob("requirements.*"))
    shown = [
        file for call, files in SHOWN.items() if call in code for file in sorted(records.RESULTS.glob(files))
    ]
    files = [*sources.imported_files(code), *requirements, *shown]
    return sources.digest(files, *texts, repr(records.versions()))


def run(
    chapter: str,
    values: Mapping[str, object],
    out: str | Path,
    *,
    report: Callable[[str], None] = lambda line: None,
) -> Path:
    """Execute a chapter into the new folder `out`: the notebook, its records and run.json, all or nothing.

    A folder that holds the same chapter, parameters and digest already is left as it is.

    Raises
    ------
    FileExistsError : the folder holds anything else. ChapterError : the chapter failed; nothing is left behind.
    """
    out = Path(out)
    wanted = {"chapter": chapter, "parameters": dict(values), "digest": chapter_digest(chapter)}
    if finished(out, wanted):
        report(f"{out} holds this run already")
        return out
    started, clock = datetime.now(UTC), time.perf_counter()
    with records.new_folder(out) as folder:
        _execute(chapter, values, folder, report)
        done = {
            **wanted,
            "started": started.isoformat(timespec="seconds"),
            "wall_seconds": round(time.perf_counter() - clock, 1),
            "commit": sources.commit(),
            "versions": records.versions(),
        }
        (folder / "run.json").write_text(json.dumps(done, indent=1) + "\n")
    return out


def finished(out: Path, wanted: Mapping[str, object]) -> bool:
    """Whether `out` is there and holds the wanted run. FileExistsError where it holds anything else."""
    if not out.exists():
        return False
    if not holds(out, wanted):
        raise FileExistsError(
            f"{out} is in use by {_occupant(out)}; choose another --out, or remove it first"
        )
    return True


def holds(out: Path, wanted: Mapping[str, object]) -> bool:
    """Whether `out` is a finished run of the wanted chapter, parameters and digest."""
    done = read_run(out)
    return all(done.get(key) == value for key, value in wanted.items())


def read_run(out: Path) -> dict:
    """What run.json says of a finished run; empty where there is none."""
    try:
        return json.loads((out / "run.json").read_text())
    except (OSError, ValueError):
        return {}


def _occupant(out: Path) -> str:
    done = read_run(out)
    return f"another run ({done['chapter']}, {done['started']})" if done else "other files"


def _execute(chapter: str, values: Mapping[str, object], folder: Path, report: Callable[[str], None]) -> None:
    import papermill
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    changed = {
        name: values[name]
        for name, parameter in parameters.read_parameters(chapter).items()
        if values[name] != parameter.default
    }
    with (
        _environment(OUT_VARIABLE, str(folder.resolve())),
        _ticking(chapter, report),
        tempfile.TemporaryDirectory(prefix="kernel-") as sockets,  # of its own: chapters may run side by side
    ):
        try:
            papermill.execute_notebook(
                parameters.notebook(chapter),
                folder / f"{chapter}.ipynb",
                parameters=changed,
                kernel_name="python3",
                cwd=parameters.BOOK,
                progress_bar=sys.stderr.isatty(),
                # sockets in files: no ports, no strangers
                config=Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/ipc"}),
            )
        except PapermillExecutionError as error:
            refused = error.ename in ("ValueError", "FileNotFoundError", "PermissionError")
            reason = error.evalue.strip().split("\n")[0]
            raise ChapterError(f"{chapter}: {error.ename}: {reason}", refused) from error


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


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


def build_book(report: Callable[[str], None], *, update: bool = False) -> Path:
    """Execute every chapter at its defaults, where its digest changed, and build the HTML from those executions.

    Returns the HTML folder. With `update` the executed chapters replace the committed ones in book/.

    Raises
    ------
    ChapterError : a chapter failed. RuntimeError : the HTML build did, or lacks a page.
    """
    executed = {}
    for chapter in parameters.chapters():
        executed[chapter] = _fresh(chapter, report)
    if update:
        for chapter, folder in executed.items():
            write_back(folder / f"{chapter}.ipynb", parameters.notebook(chapter))
    html = _build_html(executed, report)
    seconds = {chapter: read_run(folder)["wall_seconds"] for chapter, folder in executed.items()}
    for chapter, wall in seconds.items():
        report(f"{chapter:<24} {wall:6.1f} s")
    return html


def _fresh(chapter: str, report: Callable[[str], None]) -> Path:
    """The chapter's execution at its defaults: the one at hand where its digest still holds, else a new one."""
    out, values = BOOK_OUT / chapter, parameters.resolve(chapter)
    wanted = {"chapter": chapter, "parameters": values, "digest": chapter_digest(chapter)}
    if holds(out, wanted):
        report(f"{chapter}: unchanged")
        return out
    if out.exists():
        shutil.rmtree(out)
    report(f"{chapter}: executing")
    return run(chapter, values, out, report=report)


def _build_html(executed: Mapping[str, Path], report: Callable[[str], None]) -> Path:
    site = BOOK_OUT / "site"
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(parameters.BOOK, site / "book", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(sources.ROOT / name, site)
    for chapter, folder in executed.items():
        write_back(folder / f"{chapter}.ipynb", site / "book" / f"{chapter}.ipynb")
    report("building the HTML")
    jupyter_book = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command = [*jupyter_book, "build", "-W", "-n", "--keep-going", str(site)]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode:
        raise RuntimeError(f"the HTML build failed:\n{built.stdout[-4000:]}{built.stderr[-4000:]}")
    html = site / "_build" / "html"
    missing = [chapter for chapter in executed if not (html / "book" / f"{chapter}.html").is_file()]
    if missing:
        raise RuntimeError(f"the HTML build left out {', '.join(missing)}; _toc.yml lists the pages")
    return html


def write_back(executed: Path, target: Path) -> None:
    """Copy an executed notebook without papermill's bookkeeping, which changes at every run."""
    notebook = json.loads(executed.read_text())
    notebook["metadata"].pop("papermill", None)
    for cell in notebook["cells"]:
        for key in ("papermill", "execution"):
            cell["metadata"].pop(key, None)
    target.write_text(json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
