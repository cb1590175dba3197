"""Which source a result depends on: the import closure of some code, digests of it, the commit, and versions."""

import ast
import hashlib
import platform
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ONE_PARSES = threading.Lock()  # ast.parse in two threads at once fails now and then in Python 3.11
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "lightning")


def imported_files(code: str) -> list[Path]:
    """Every file of `src` that running `code` can import or, being a template, can read beside what it imports.

    Sorted. Imports are followed through `src` and read from the syntax tree, those inside functions included: the list
    may be too long, never too short.
    """
    found: set[Path] = set()
    waiting = list(_module_files(code))
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting.extend(_module_files(file.read_text()))
    templates = {data for file in found for data in file.parent.glob("templates/*")}
    return sorted(found | templates)


def _module_files(code: str) -> Iterator[Path]:
    for name in _imported_names(code):
        yield from _files_of(name)


@cache
def _imported_names(code: str) -> tuple[str, ...]:
    names: list[str] = []
    with ONE_PARSES:
        tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
            names += [home for alias in node.names for home in _homes(alias.name).values()]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            names += [_homes(node.module).get(alias.name, "") for alias in node.names]
    return tuple(names)


def _homes(package: str) -> Mapping[str, str]:
    """Where a package of `src` that imports its names lazily has them; empty for any other module."""
    return getattr(import_module(package), "HOMES", {}) if package in ("src.synthetic", "src.vision") else {}


def _files_of(module: str) -> Iterator[Path]:
    """The module's own file and its parent packages'; nothing for what is not a module of `src`."""
    parts = module.split(".")
    if parts[0] != "src":
        return
    for depth in range(1, len(parts) + 1):
        path = ROOT.joinpath(*parts[:depth])
        candidates = (path / "__init__.py", path.with_suffix(".py"))
        yield from (candidate for candidate in candidates if candidate.is_file())


def digest(files: Iterable[Path], *texts: str) -> str:
    """12 hexadecimal digits of the names and bytes of `files`, in their order, and of `texts`."""
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes() + b"\0")
    for text in texts:
        total.update(text.encode() + b"\0")
    return total.hexdigest()[:12]


def commit() -> str:
    """The checked-out commit, with "+" where `src` differs from it; "unknown" outside a git checkout."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True
        )
        edits = subprocess.run(
            [*git, "status", "--porcelain", "src"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if edits.stdout.strip() else "")


def versions() -> dict[str, str]:
    """Python and the packages that the numbers depend on, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
