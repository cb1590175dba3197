"""What nbval cannot see: the rules that every committed chapter keeps."""

import ast
import json
import re

import pytest

from src.evidence.claims import CLAIMS
from src.workshop.parameters import BOOK, chapters, read_parameters

WITH_A_RUN = [chapter for chapter in chapters() if chapter[0].isdigit() or chapter == "scale"]
NBVAL_TAGS = {"nbval-skip", "nbval-ignore-output", "nbval-check-output", "nbval-raises-exception"}
NBVAL_COMMENT = re.compile(r"^# (NBVAL_(IGNORE|CHECK)_OUTPUT|NBVAL_SKIP|NBVAL_RAISES_EXCEPTION)$")


def cells(chapter: str) -> list[dict]:
    return json.loads((BOOK / f"{chapter}.ipynb").read_text())["cells"]


def code(chapter: str) -> list[dict]:
    return [cell for cell in cells(chapter) if cell["cell_type"] == "code"]


def source(cell: dict) -> str:
    return "".join(cell["source"])


@pytest.mark.parametrize("chapter", chapters())
def test_committed_executed_without_errors_or_warnings(chapter):
    for cell in code(chapter):
        assert cell["execution_count"] is not None
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr", "".join(output["text"])


@pytest.mark.parametrize("chapter", WITH_A_RUN)
def test_one_parameters_cell_of_literals_each_with_its_rule_and_within_it(chapter):
    tagged = [cell for cell in code(chapter) if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    assert all(isinstance(statement, ast.Assign) for statement in ast.parse(source(tagged[0])).body)
    parameters = read_parameters(chapter)
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    assert "seed" in defaults
    assert not any("=" in line.partition("#")[2] for line in source(tagged[0]).splitlines()), (
        "papermill cannot read it"
    )
    for parameter in parameters.values():
        assert parameter.check(parameter.default, defaults) == parameter.default
        assert parameter.meaning


@pytest.mark.parametrize("chapter", chapters())
def test_cells_only_call_the_package(chapter):
    for cell in code(chapter):
        text = source(cell)
        nodes = list(ast.walk(ast.parse(text)))
        assert not any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.While) for node in nodes)
        assert "warnings" not in text and not text.lstrip().startswith(("!", "%"))
        if "parameters" not in cell["metadata"].get("tags", []):
            assert len(text.splitlines()) <= 15


@pytest.mark.parametrize("chapter", chapters())
def test_every_nbval_marker_is_one_that_nbval_knows(chapter):
    for cell in code(chapter):
        for tag in cell["metadata"].get("tags", []):
            assert not tag.startswith("nbval") or tag in NBVAL_TAGS
        for line in source(cell).splitlines():
            assert "NBVAL" not in line or NBVAL_COMMENT.match(line)


@pytest.mark.parametrize("chapter", chapters())
def test_every_figure_has_alt_text_and_prose_before_it(chapter):
    previous = None
    for cell in cells(chapter):
        pictures = [o for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
        if pictures:
            assert len(pictures) == 1
            assert len(cell["metadata"]["mystnb"]["image"]["alt"]) > 20
            assert previous["cell_type"] == "markdown" or "figures." in source(previous)
        previous = cell


@pytest.mark.parametrize("chapter", WITH_A_RUN)
def test_opens_with_its_claims_and_ends_with_verdict_and_footer(chapter):
    opening = source(cells(chapter)[0])
    for claim in (claim.key for claim in CLAIMS.values() if claim.chapter == chapter):
        assert f"`{claim}`" in opening or f"`{claim.split('-')[0]}-" in opening
    calls = [source(cell) for cell in code(chapter)]
    assert calls[-1].startswith("footer(")
    assert any(call.startswith("verdict_box(") for call in calls)
