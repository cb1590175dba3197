import os
import stat

import pytest

from src.common.folders import check_sums, locked, new_folder, remove_parts, visible, write_sums, write_whole


def test_a_failing_write_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="half-way"), new_folder(tmp_path / "deep" / "out") as folder:
        (folder / "part").write_text("half")
        raise RuntimeError("half-way")
    assert list(tmp_path.iterdir()) == []


def test_of_a_killed_process_only_its_own_parts_are_removed(tmp_path):
    kept = {"seed=1", "seed=11", ".seed=1-block=2.part", ".seed=1", ".seed=11.part"}
    for name in {*kept, ".seed=1.part"}:
        (tmp_path / name).mkdir()
    remove_parts(tmp_path / "seed=1")
    assert {folder.name for folder in tmp_path.iterdir()} == kept


def test_a_folder_is_claimed_before_the_work_and_only_while_it_lasts(tmp_path):
    out = tmp_path / "out"
    with new_folder(out) as folder:
        (folder / "mine").write_text("1")
        with pytest.raises(FileExistsError, match="out is being written by another process"), new_folder(out):
            pass
        remove_parts(out)
        assert (folder / "mine").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine"]
    with pytest.raises(FileExistsError, match="out exists already"), new_folder(out):
        pass


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path):
    (tmp_path / ".out.part").mkdir()
    (tmp_path / ".out.part" / "old").write_text("half")
    (tmp_path / ".out.lock").write_text("")
    with new_folder(tmp_path / "out") as folder:
        (folder / "new").write_text("whole")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "new"]


def test_a_folder_that_is_taken_at_the_end_costs_nothing(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(OSError, match=r"what was computed is in .*/\.out\.kept-") as caught:  # noqa: SIM117
        with new_folder(out) as folder:
            (folder / "hours").write_text("of work")
            out.mkdir()
            (out / "theirs").write_text("")
    kept = tmp_path / str(caught.value).rpartition("/")[2]
    assert (kept / "hours").read_text() == "of work" and (out / "theirs").exists()
    assert visible(tmp_path, "**/*") == [out, out / "theirs"]


def test_a_lock_is_free_again_when_it_is_given_back(tmp_path):
    lock = tmp_path / "lock"
    for _ in range(2):
        with locked(lock, "held"), pytest.raises(FileExistsError, match="held"), locked(lock, "held"):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_whole_with_its_mode_and_an_error_names_it(tmp_path, monkeypatch):
    file = tmp_path / "page"
    file.write_bytes(b"old")
    file.chmod(0o640)
    write_whole(file, b"new")
    assert file.read_bytes() == b"new" and stat.S_IMODE(file.stat().st_mode) == 0o640

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_whole(file, b"newer")
    assert caught.value.filename == str(file)
    assert file.read_bytes() == b"new" and list(tmp_path.iterdir()) == [file]


def test_sums_find_a_file_that_changed_or_is_missing(tmp_path):
    check_sums(tmp_path)
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    write_sums(tmp_path)
    check_sums(tmp_path)
    (tmp_path / "a").write_bytes(b"3")
    with pytest.raises(ValueError, match="a is not as it was written"):
        check_sums(tmp_path)
    (tmp_path / "a").unlink()
    with pytest.raises(ValueError, match="a is not as it was written"):
        check_sums(tmp_path)
