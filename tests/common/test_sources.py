from pathlib import Path

import src
from src.common.sources import ROOT, commit, digest, imported_files


def names(code: str) -> set[str]:
    return {str(file.relative_to(ROOT)) for file in imported_files(code)}


def test_src_is_this_repositorys():
    assert Path(src.__file__).parent == Path(__file__).resolve().parents[2] / "src"


def test_imports_are_followed_through_src_and_no_further():
    found = names("import numpy\nfrom src.experiments import transfer")
    assert {"src/experiments/transfer.py", "src/synthetic/realistic.py", "src/structure.py"} <= found
    assert not any(name.startswith("src/vision/") for name in found)
    assert all(name.startswith("src/") for name in found)


def test_the_vision_half_does_not_depend_on_the_theory():
    found = names("from src.experiments import images")
    assert "src/vision/vit.py" in found
    assert not any(name.startswith("src/synthetic/") for name in found)


def test_nor_does_the_theory_depend_on_the_vision_half():
    for name in ("transfer", "samples_needed", "realistic", "events", "diagonal", "gaussian"):
        found = names(f"from src.experiments import {name}")
        assert f"src/experiments/{name}.py" in found
        assert not any(each.startswith("src/vision/") for each in found), name


def test_imports_inside_functions_count():
    assert "src/structure.py" in names("def f():\n    import src.structure")


def test_digest_changes_with_content_name_and_text(monkeypatch, tmp_path):
    monkeypatch.setattr("src.common.sources.ROOT", tmp_path)
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("a")
    two.write_text("a")
    digests = [digest([one]), digest([two]), digest([one], "x"), digest([])]
    one.write_text("b")
    digests.append(digest([one]))
    assert len(set(digests)) == 5


def test_commit_is_unknown_outside_a_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr("src.common.sources.ROOT", tmp_path)
    assert commit() == "unknown"
