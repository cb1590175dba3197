"""What nbval cannot see: the rules that every committed chapter keeps."""

import ast
import json
import re
import subprocess
import sys
from itertools import pairwise

import pytest

from src.evidence.claims import CLAIMS
from src.experiments.resolve import resolve
from src.experiments.settings import ImagesSettings
from src.experiments.table import CHAPTERS, RECORDS, RECORDS_AND_BENCHMARKS
from src.workshop.runs import BOOK

WITH_A_RUN = [chapter for chapter, page in CHAPTERS.items() if page.measures]
ON_IMAGES = [chapter for chapter in WITH_A_RUN if issubclass(CHAPTERS[chapter].settings, ImagesSettings)]
IDEA = re.compile(r"\.softmax\(|\.backward\(|autograd\.grad\(")
EXERCISE = re.compile(r"^\*\*Exercise (\d+\.\d+)\.\*\* ", re.MULTILINE)
NBVAL_TAGS = {"nbval-skip", "nbval-ignore-output", "nbval-check-output", "nbval-raises-exception"}
NBVAL_COMMENT = re.compile(r"^# (NBVAL_(IGNORE|CHECK)_OUTPUT|NBVAL_SKIP|NBVAL_RAISES_EXCEPTION)$")


def cells(chapter: str) -> list[dict]:
    return json.loads((BOOK / f"{chapter}.ipynb").read_text())["cells"]


def code(chapter: str) -> list[dict]:
    return [cell for cell in cells(chapter) if cell["cell_type"] == "code"]


def source(cell: dict) -> str:
    return "".join(cell["source"])


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_committed_executed_without_errors_or_warnings(chapter):
    for cell in code(chapter):
        assert cell["execution_count"] is not None
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr", "".join(output["text"])
        assert len([output for output in cell["outputs"] if output["output_type"] == "stream"]) <= 1


@pytest.mark.parametrize("chapter", WITH_A_RUN)
def test_one_parameters_cell_of_few_literals_each_the_default_with_its_meaning(chapter):
    tags = [each["metadata"].get("tags", []) for each in code(chapter)]
    (position,) = (index for index, each in enumerate(tags) if "parameters" in each)
    assert all("hide-input" in each for each in tags[:position]), "they come first but for folded cells"
    cell = code(chapter)[position]
    statements, settings = ast.parse(source(cell)).body, resolve(chapter)
    assert 1 <= len(statements) <= 8
    for statement, line in zip(statements, source(cell).splitlines(), strict=True):
        name, comment = statement.targets[0].id, line.partition("  # ")[2]
        value = ast.literal_eval(statement.value)
        assert value == getattr(settings, name) and type(value) is type(getattr(settings, name))
        assert comment and "=" not in comment  # papermill cannot read such a line
    assert statements[0].targets[0].id == "seed"


@pytest.mark.parametrize("chapter", WITH_A_RUN)
def test_no_cell_before_the_settings_gives_a_parameter_another_value(chapter):
    """`chapter_settings` takes the parameters from the globals, so that papermill may set any of them."""
    fields = type(resolve(chapter)).model_fields
    for cell in code(chapter):
        if "chapter_settings(" in source(cell):
            assert f'settings = chapter_settings("{chapter}", globals())' in source(cell)
            return
        if "parameters" not in cell["metadata"].get("tags", []):
            names = {node.id for node in ast.walk(ast.parse(source(cell))) if isinstance(node, ast.Name)}
            imported = {
                alias.asname or alias.name
                for node in ast.walk(ast.parse(source(cell)))
                if isinstance(node, ast.ImportFrom | ast.Import)
                for alias in node.names
            } - {"chapter_settings"}
            assert not (names | imported) & fields.keys()
    raise AssertionError("no cell makes the settings")


@pytest.mark.parametrize("chapter", WITH_A_RUN)
def test_the_table_names_the_claims_that_a_chapter_measures(chapter):
    text = "\n".join(source(cell) for cell in code(chapter))
    assert set(re.findall(r'measure\("([\w-]+)"', text)) == {*CHAPTERS[chapter].measures}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_table_says_which_results_a_page_shows(chapter):
    text = "\n".join(source(cell) for cell in code(chapter))
    shown = CHAPTERS[chapter].shows
    # of all claims, or of one
    assert ("load_records(" in text) == (shown.endswith(RECORDS) or shown == RECORDS_AND_BENCHMARKS)
    assert ("load_benchmarks(" in text) == (shown == RECORDS_AND_BENCHMARKS)


def test_every_notebook_begins_with_the_same_folded_cell():
    (first,) = {json.dumps(cells(chapter)[1] | {"execution_count": None}) for chapter in CHAPTERS}
    assert (
        json.loads(first)["metadata"]["jupyter"]["source_hidden"] and len(json.loads(first)["source"]) <= 12
    )


@pytest.mark.parametrize("where", ["book", "src", "elsewhere"])
def test_that_cell_finds_the_checkout_from_any_folder_in_it_or_says_how_to_get_one(where, tmp_path):
    """In a Python that has not the package: `-I` leaves out PYTHONPATH, `-S` what is installed."""
    code = f"{source(cells('claims')[1])}\nprint([at for at in sys.path if (Path(at) / 'src' / 'claims.py').is_file()])"
    at = {"book": BOOK, "src": BOOK.parent / "src", "elsewhere": tmp_path}[where]
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=at, capture_output=True, text=True)
    if where == "elsewhere":
        assert done.returncode and "clone the book's repository" in done.stderr.splitlines()[-1]
    else:
        assert done.stdout == f"['{BOOK.parent}']\n"


def test_every_notebook_of_the_book_is_in_the_table():
    assert [file.stem for file in sorted(BOOK.glob("*.ipynb"))] == sorted(CHAPTERS)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_cells_are_short_and_plain(chapter):
    for cell in code(chapter):
        text = source(cell)
        assert "warnings" not in text and not text.lstrip().startswith(("!", "%"))
        if "parameters" not in cell["metadata"].get("tags", []):
            assert len([line for line in text.splitlines() if line.strip()]) <= 12, text


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_what_is_written_out_is_tied_to_the_package_by_an_assert(chapter):
    """A cell that defines a function, or has a softmax or a gradient, asserts something, or the next one does."""
    every = [source(cell) for cell in code(chapter)]
    for text, following in pairwise([*every, ""]):
        if any(isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse(text))) or IDEA.search(text):
            nodes = [node for each in (text, following) for node in ast.walk(ast.parse(each))]
            assert any(isinstance(node, ast.Assert) for node in nodes), text


@pytest.mark.parametrize("chapter", ON_IMAGES)
def test_no_cell_trains_on_images(chapter):
    for cell in code(chapter):
        loops = [node for node in ast.walk(ast.parse(source(cell))) if isinstance(node, ast.For | ast.While)]
        assert not any(re.search(r"\.(backward|step)\(", ast.unparse(loop)) for loop in loops)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_nbval_marker_is_one_that_nbval_knows(chapter):
    for cell in code(chapter):
        for tag in cell["metadata"].get("tags", []):
            assert not tag.startswith("nbval") or tag in NBVAL_TAGS
        for line in source(cell).splitlines():
            assert "NBVAL" not in line or NBVAL_COMMENT.match(line)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_figure_has_alt_text_and_prose_before_it(chapter):
    previous = None
    for cell in cells(chapter):
        pictures = [o for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
        if pictures:
            assert len(pictures) == 1
            assert len(cell["metadata"]["mystnb"]["image"]["alt"]) > 20
            assert previous["cell_type"] == "markdown" or "figures." in source(previous)
        if "hide-input" not in cell["metadata"].get("tags", []):  # folded: a reader sees past it
            previous = cell


@pytest.mark.parametrize("chapter", WITH_A_RUN)
def test_opens_with_its_claims_and_ends_with_verdict_and_footer(chapter):
    opening = source(cells(chapter)[0])
    for claim in (claim.key for claim in CLAIMS.values() if claim.chapter == chapter):
        assert f"`{claim}`" in opening or f"`{claim.split('-')[0]}-" in opening
    calls = [source(cell) for cell in code(chapter)]
    assert calls[-1].startswith("footer(")
    assert any(call.startswith(("verdict_box(", "claims_table(")) for call in calls)
    if chapter in ON_IMAGES:  # its run is one on stand-in data
        assert not any("verdict_box(" in call for call in calls)


@pytest.mark.parametrize("chapter", [chapter for chapter in CHAPTERS if chapter[0].isdigit()])
def test_ends_with_three_exercises_each_with_a_hidden_solution_that_can_fail(chapter):
    every = cells(chapter)
    at = [index for index, cell in enumerate(every) if EXERCISE.search(source(cell))]
    number = int(chapter[:2])
    assert [EXERCISE.findall(source(every[index])) for index in at] == [[f"{number}.{k}"] for k in (1, 2, 3)]
    assert source(every[at[0]]).startswith("## Exercises\n")
    assert at == [len(every) - 7, len(every) - 5, len(every) - 3]  # then the footer
    for solution in (every[index + 1] for index in at):
        assert solution["cell_type"] == "code" and "hide-cell" in solution["metadata"]["tags"]
        nodes = [*ast.walk(ast.parse(source(solution)))]
        assert any(isinstance(node, ast.Assert) for node in nodes)
        assert any(isinstance(node, ast.Call) and ast.unparse(node.func) == "print" for node in nodes)
