"""What makes a chapter stale, and what is published of it."""

import json
from functools import cache

import pytest

from src.common import sources
from src.evidence import records
from src.experiments.table import CHAPTERS
from src.workshop import chapters, runs, site


@pytest.fixture
def editable(monkeypatch, tmp_path):
    """A copy of the repository's text in which files can be changed."""
    import shutil

    for name in ("src", "book", "results"):
        shutil.copytree(
            sources.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "kernel-ipc-*")
        )
    for name in ("requirements.txt", "requirements.lock"):
        shutil.copy(sources.ROOT / name, tmp_path)
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    monkeypatch.setattr(runs, "BOOK", tmp_path / "book")
    monkeypatch.setattr(runs, "BOOK_OUT", tmp_path / "outputs")
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    return tmp_path


THEORY = {"01_dataset", "02_theory", "03_synthetic_training", "04_transfer"}
IMAGES = {"05_cifar", "06_svhn", "07_imagenet", "08_locality"}
STUDIES = {"overlapping", "phase", "parameterization"}
STUDIES_ON_IMAGES = {"layers", "disorder"}
NEIGHBOURS = {"neighbours", "probes", "algorithms", "cells", "given"}
ON_A_VIT = NEIGHBOURS - {"algorithms", "neighbours"}
BEYOND = STUDIES | STUDIES_ON_IMAGES | NEIGHBOURS
DRAWS_RECORDS = IMAGES | BEYOND
DRAWS_RECORDS |= THEORY - {"01_dataset"} | {"intro", "claims", "figures", "scale", "status"}
EVERY = DRAWS_RECORDS | {"01_dataset", "speed"}


@cache
def unedited() -> dict[str, str]:
    """Digests of all chapters in an editable copy; one is like another."""
    return {chapter: chapters.chapter_digest(chapter) for chapter in CHAPTERS}


@pytest.mark.parametrize(
    ("file", "stale"),
    [
        ("src/synthetic/realistic.py", THEORY | STUDIES | {"figures", "scale", "layers", "ten_lines"}),
        ("src/experiments/samples_needed.py", {"scale"}),
        ("src/vision/vit.py", IMAGES | STUDIES_ON_IMAGES | ON_A_VIT | {"ten_lines"}),
        ("src/vision/cells.py", {"cells"}),
        ("src/synthetic/algorithms.py", {"algorithms"}),
        ("src/evidence/figures/interactive.py", {"02_theory", "03_synthetic_training"}),
        ("src/evidence/templates/footer.html", EVERY),
        ("src/structure.py", THEORY | STUDIES | {"figures", "scale", "layers", "ten_lines"}),
        ("src/evidence/first_screen.py", {"intro"}),
        ("src/workshop/chapters.py", set()),
        ("src/workshop/runs.py", {"status"}),
        ("book/notation.md", set()),
        ("book/paper_figures.yaml", EVERY),
        ("book/presets/paper.yaml", EVERY),
        ("requirements.txt", EVERY | {"ten_lines"}),
        ("requirements.lock", EVERY | {"ten_lines"}),
        ("src/evidence/claims.py", EVERY),
    ],
)
def test_an_edit_makes_stale_what_depends_on_it_and_only_that(editable, file, stale):
    before = unedited()
    path = editable / file
    path.write_text(path.read_text() + "\n# edited\n")
    after = {chapter: chapters.chapter_digest(chapter) for chapter in CHAPTERS}
    assert {chapter for chapter in before if before[chapter] != after[chapter]} == stale


def test_an_edit_of_a_chapter_makes_it_stale_but_its_outputs_do_not_count(editable):
    file = editable / "book" / "01_dataset.ipynb"
    before = chapters.chapter_digest("01_dataset")
    notebook = json.loads(file.read_text())
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], 99
    file.write_text(json.dumps(notebook))
    assert chapters.chapter_digest("01_dataset") == before
    notebook["cells"][0]["source"] = "# Another title"
    file.write_text(json.dumps(notebook))
    assert chapters.chapter_digest("01_dataset") != before


def test_the_page_on_runs_is_stale_where_another_page_was_executed_anew(editable, monkeypatch):
    done = {"01_dataset": {"started": "2026-01-01"}}
    monkeypatch.setattr(chapters, "book_runs", lambda: done)
    before = {chapter: chapters.chapter_digest(chapter) for chapter in CHAPTERS}
    done["01_dataset"]["started"] = "2026-01-02"
    after = {chapter: chapters.chapter_digest(chapter) for chapter in CHAPTERS}
    assert {chapter for chapter in before if before[chapter] != after[chapter]} == {"status"}


def test_pages_that_show_runs_come_last():
    shows = [page.shows_runs for page in CHAPTERS.values()]
    assert shows == sorted(shows) and any(shows)


def test_what_the_book_notes_of_its_runs(tmp_path):
    folder = tmp_path / "01_dataset"
    (folder / "records" / "structure").mkdir(parents=True)
    (folder / "records" / "structure" / "record.json").write_text('{"device": "a device"}')
    (tmp_path / "claims").mkdir()
    (tmp_path / "speed").mkdir()
    for page in ("01_dataset", "claims"):
        (tmp_path / page / "run.json").write_text(json.dumps({"chapter": page}))
    assert runs.book_runs(tmp_path) == {
        "01_dataset": {"chapter": "01_dataset", "device": "a device"},
        "claims": {"chapter": "claims", "device": ""},
    }


@pytest.mark.parametrize(
    ("new", "stale"),
    [("transfer/new/record.json", DRAWS_RECORDS | {"speed"}), ("benchmarks/new-cpu.json", {"speed"})],
)
def test_a_new_result_makes_stale_the_pages_that_show_such(editable, new, stale):
    before = {chapter: chapters.chapter_digest(chapter) for chapter in CHAPTERS}
    file = editable / "results" / new
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{}")
    after = {chapter: chapters.chapter_digest(chapter) for chapter in CHAPTERS}
    assert {chapter for chapter in before if before[chapter] != after[chapter]} == stale


def test_what_is_written_back_has_outputs_but_no_bookkeeping(tmp_path):
    cell = {
        "cell_type": "code",
        "source": "1",
        "execution_count": 1,
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "1"}],
        "metadata": {"papermill": {"duration": 1}, "execution": {}, "tags": ["parameters"]},
    }
    executed = {
        "cells": [cell],
        "metadata": {"papermill": {}, "kernelspec": {}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (tmp_path / "in.ipynb").write_text(json.dumps(executed))
    site.write_back(tmp_path / "in.ipynb", tmp_path / "out.ipynb")
    written = json.loads((tmp_path / "out.ipynb").read_text())
    assert written["metadata"] == {"kernelspec": {}}
    assert written["cells"][0]["metadata"] == {"tags": ["parameters"]}
    assert written["cells"][0]["outputs"] == cell["outputs"]
