"""What STYLE.md asks of every function, and that no test leans on another."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
MOST_LINES, MOST_PARAMETERS = 40, 7
# Why they may: a kernel takes pointers, sizes and strides, and Triton cannot call a function of blocks for each of its
# passes; the others take the model's own symbols, under the names that a reader of the paper looks for.
EXCEPTIONS = {
    "synthetic/fused.py _kernel",
    "synthetic/idealized.py idealized_descent",
    "synthetic/model.py PositionalAttentionModel.__init__",
    "vision/vit.py VisionTransformer.__init__",
}


def functions(source: str) -> dict[str, ast.FunctionDef]:
    """Every function by its qualified name, those inside others too."""
    found = {}

    def visit(node: ast.AST, path: tuple[str, ...]) -> None:
        for child in ast.iter_child_nodes(node):
            named = isinstance(child, ast.FunctionDef | ast.ClassDef)
            inner = (*path, child.name) if named else path
            if isinstance(child, ast.FunctionDef):
                found[".".join(inner)] = child
            visit(child, inner)

    visit(ast.parse(source), ())
    return found


def size(source: str, function: ast.FunctionDef) -> tuple[int, int]:
    """Lines, without blank ones and the docstring; parameters, without `self`."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    left_out = range(first.lineno, first.end_lineno + 1) if documented else ()
    numbered = enumerate(source.splitlines()[function.lineno - 1 : function.end_lineno], function.lineno)
    lines = sum(bool(line.strip()) and number not in left_out for number, line in numbered)
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return lines, sum(each is not None and each.arg not in ("self", "cls") for each in named)


def test_functions_are_measured_as_said():
    source = 'def f(self, a, *b, c=1, **d):\n    """Two\n    lines."""\n\n    def g():\n        return a\n'
    outer, inner = functions(source).items()
    assert (outer[0], size(source, outer[1])) == ("f", (3, 4))
    assert (inner[0], size(source, inner[1])) == ("f.g", (2, 0))


def test_no_function_is_longer_or_asks_for_more_than_the_limit():
    over = set()
    for path in (REPOSITORY / "src").rglob("*.py"):
        source = path.read_text()
        for name, function in functions(source).items():
            lines, parameters = size(source, function)
            if lines > MOST_LINES or parameters > MOST_PARAMETERS:
                over.add(f"{path.relative_to(REPOSITORY / 'src').as_posix()} {name}")
    assert over == EXCEPTIONS


@pytest.mark.parametrize("path", [*(REPOSITORY / "tests").rglob("*.py")], ids=lambda path: path.name)
def test_no_test_imports_a_test(path):
    """Nor does a script inside one."""
    nodes = [*ast.walk(ast.parse(path.read_text()))]
    texts = [each.value for each in nodes if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    imported = {
        name
        for each in nodes
        if isinstance(each, ast.ImportFrom | ast.Import)
        for name in (getattr(each, "module", None) or "", *(alias.name for alias in each.names))
    }
    modules = {word for name in imported for word in name.split(".")}
    tests = {each.stem for each in (REPOSITORY / "tests").rglob("test_*.py")}
    assert not modules & tests
    assert not [name for name in tests for text in texts if f"{name} import" in text]
