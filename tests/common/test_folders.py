import pytest

from src.common.folders import new_folder, remove_parts


def test_a_failing_write_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="half-way"), new_folder(tmp_path / "deep" / "out") as folder:
        (folder / "part").write_text("half")
        raise RuntimeError("half-way")
    assert list(tmp_path.iterdir()) == []


def test_of_a_killed_process_only_its_own_parts_are_removed(tmp_path):
    kept = {"seed=1", "seed=11", ".seed=1-block=2-abcd_123", ".seed=1", ".seed=11-abcd_123"}
    for name in {*kept, ".seed=1-abcd_123"}:
        (tmp_path / name).mkdir()
    remove_parts(tmp_path / "seed=1")
    assert {folder.name for folder in tmp_path.iterdir()} == kept
