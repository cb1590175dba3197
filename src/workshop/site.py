"""HTML by Jupyter Book: of the whole book, and of one run of a chapter."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from html import escape
from pathlib import Path

from src.common.folders import new_folder, write_whole
from src.common.sources import ROOT
from src.evidence.figures.page import NO_TEXT
from src.workshop import runs


def of_book(executed: Mapping[str, Path], site: Path) -> Path:
    """The HTML folder of all pages, made in `site`; `executed` holds the folder of each chapter's execution.

    Raises
    ------
    RuntimeError : the build warned of anything, failed, or left a page out.
    """
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(runs.BOOK, site / "book", ignore=shutil.ignore_patterns(".*"))
    shutil.copy(ROOT / "_toc.yml", site)
    for chapter, folder in executed.items():
        write_back(folder / f"{chapter}.ipynb", site / "book" / f"{chapter}.ipynb")
    html = _build(site, "-W", "-n", "--keep-going")
    missing = [chapter for chapter in executed if not (html / "book" / f"{chapter}.html").is_file()]
    if missing:
        raise RuntimeError(f"the HTML build left out {', '.join(missing)}; _toc.yml lists the pages")
    return html


def of_run(chapter: str, out: Path) -> Path:
    """The page of the run in the folder `out`, with the references: OUT/html/index.html. Made once.

    Links to other pages of the book are plain text in it.
    """
    html = out / "html"
    if html.exists():
        return html / "index.html"
    with tempfile.TemporaryDirectory(prefix="site-") as folder, new_folder(html) as made:
        site = Path(folder)
        shutil.copytree(runs.BOOK / "_static", site / "book" / "_static")
        for name in ("references.bib", "references.md"):
            shutil.copy(runs.BOOK / name, site / "book")
        write_back(out / f"{chapter}.ipynb", site / "book" / f"{chapter}.ipynb")
        toc = f"format: jb-book\nroot: book/{chapter}\nchapters: [file: book/references]\n"
        (site / "_toc.yml").write_text(toc)
        shutil.copytree(_build(site, "-q"), made, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))
    return html / "index.html"


def _build(site: Path, *options: str) -> Path:
    shutil.copy(ROOT / "_config.yml", site)
    jupyter_book = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    built = subprocess.run([*jupyter_book, "build", *options, str(site)], capture_output=True, text=True)
    if built.returncode:
        raise RuntimeError(f"the HTML build failed:\n{built.stdout[-4000:]}{built.stderr[-4000:]}")
    return site / "_build" / "html"


def write_back(executed: Path, target: Path) -> None:
    """Copy an executed notebook, at once, without papermill's bookkeeping, which changes at every run.

    Its figures get the alternative text that their cells have.
    """
    notebook = json.loads(executed.read_text())
    notebook["metadata"].pop("papermill", None)
    for cell in notebook["cells"]:
        for key in ("papermill", "execution"):
            cell["metadata"].pop(key, None)
        _put_alternative_text(cell)
    text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    write_whole(target, text.encode())


def _put_alternative_text(cell: dict) -> None:
    text = escape(cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", ""))
    for output in cell.get("outputs", []):
        if "text/html" in output.get("data", {}):
            html = "".join(output["data"]["text/html"])
            output["data"]["text/html"] = html.replace(NO_TEXT, f'aria-label="{text}"').splitlines(
                keepends=True
            )
