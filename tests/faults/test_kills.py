"""Kills at random moments, seeded: twenty, and a hundred with `-m ''`. After each the same command, and its result.

Where a command is quick, the moment is one of the changes that it makes to files, each of them as likely as the others;
where it starts processes, one of its seconds.
"""

import json
import multiprocessing
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import child
import numpy as np
import pytest
from small import IMAGES, committed

from src.evidence.records import load_records
from src.workshop.runs import BOOK

ROUNDS = [0, *(pytest.param(seed, marks=pytest.mark.many) for seed in range(1, 5))]
STRUCTURE = ["record", "structure", "-p", "num_seeds=1", "-p", "num_samples=50", "-p", "device=cpu"]


def finish(arguments, folder, **options) -> int:
    """Exit code of a command in a process of its own; negative where it was killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(child.PRELOADED)
    process = context.Process(target=child.command, args=(arguments, str(folder)), kwargs=options)
    process.start()
    process.join(120)
    late = process.is_alive()
    process.kill()
    assert not late  # or the exit code would be that of this kill
    return process.exitcode


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(".")]


def moments(folder: Path, seed: int, kills: int) -> list[int]:
    """Which changes to kill at, of as many as the command made when nobody did."""
    return random.Random(seed).sample(range(1, int((folder / "counted").read_text()) + 1), kills)


@pytest.mark.parametrize("seed", ROUNDS)
def test_record(seed, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert finish([*STRUCTURE, "--out", str(whole)], whole) == 0
    (expected,) = load_records(whole)
    for moment in moments(tmp_path, seed, 9):
        shutil.rmtree(out, ignore_errors=True)
        command = [*STRUCTURE, "--out", str(out)]
        assert finish(command, out, kill_at=moment) == -signal.SIGKILL
        for found in load_records(out):
            assert found.metrics == expected.metrics
        assert finish(command, out) == 0
        (found,) = load_records(out)
        assert found.metrics == expected.metrics and not hidden(out)


@pytest.mark.parametrize("seed", ROUNDS)
def test_record_with_checkpoints(seed, tmp_path):
    def command(folder):
        texts = (f"{name}={value}" for name, value in IMAGES.items())
        checkpoints = f"-pcheckpoint_folder={folder}/checkpoints"
        return ["record", "pe-locality", *(f"-p{text}" for text in texts), checkpoints, "--out", str(folder)]

    whole, out = tmp_path / "whole", tmp_path / "out"
    assert finish(command(whole), whole) == 0
    (expected,) = load_records(whole)
    for moment in moments(tmp_path, seed, 5):
        shutil.rmtree(out, ignore_errors=True)
        assert finish(command(out), out, kill_at=moment) == -signal.SIGKILL
        assert finish(command(out), out) == 0
        (found,) = load_records(out)
        assert found.metrics == expected.metrics
        assert all(np.array_equal(found.arrays[name], expected.arrays[name]) for name in expected.arrays)


def kill_after(command, cwd, seconds) -> None:
    """So many seconds after it began to write."""
    process = subprocess.Popen(command, cwd=cwd, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not hidden(cwd) and process.poll() is None:
        time.sleep(0.05)
    time.sleep(seconds)
    process.kill()
    process.wait()


@pytest.mark.parametrize("seed", ROUNDS)
@pytest.mark.parametrize("command", ["run", "sweep"])
def test_run_and_sweep(command, seed, tmp_path):
    for side in (4, 8)[: 2 if command == "sweep" else 1]:
        assert (
            finish([*STRUCTURE, f"-pgrid_side={side}", "--out", str(tmp_path / "whole")], tmp_path / "whole")
            == 0
        )
    expected = [record.metrics for record in load_records(tmp_path / "whole")]
    small = [command, "01_dataset", *STRUCTURE[2:], "--out", "out"]
    small += ["-g", "grid_side=4,8", "--workers", "2"] if command == "sweep" else ["-pgrid_side=4"]
    whole = [sys.executable, "-m", "src", *small]
    kill_after(whole, tmp_path, random.Random(seed).uniform(0, 3))
    assert len(load_records(tmp_path / "out")) <= len(expected)
    deadline = time.monotonic() + 60
    while subprocess.run(whole, cwd=tmp_path, capture_output=True).returncode:
        assert time.monotonic() < deadline  # a point whose sweep was killed takes a moment to end
        time.sleep(1)
    assert [record.metrics for record in load_records(tmp_path / "out")] == expected
    assert not hidden(tmp_path / "out")


@pytest.fixture(scope="module", params=ROUNDS)
def executed(request, tmp_path_factory):
    """After a killed `book` and a whole `book --update`: seed, a chapter's file, its bytes before and after."""
    folder = tmp_path_factory.mktemp("updated")
    file = committed(folder)
    before = file.read_bytes()
    small = [sys.executable, child.__file__, str(folder), "book"]
    kill_after(small, BOOK.parent, random.Random(request.param).uniform(1, 5))
    assert file.read_bytes() == before
    assert finish(["book", "--update"], folder / "book", book=True) == 0
    return request.param, file, before, file.read_bytes()


def test_book_and_its_update(executed):
    seed, file, before, after = executed
    (record,) = load_records(file.parents[1] / "out")
    assert record.claim == "structure" and not hidden(file.parents[1])
    assert json.loads(after)["cells"] and before != after
    file.write_bytes(before)
    assert finish(["book", "--update"], file.parent, book=True) == 0
    for moment in moments(file.parents[1], seed, 3):
        file.write_bytes(before)
        assert finish(["book", "--update"], file.parent, book=True, kill_at=moment) == -signal.SIGKILL
        assert file.read_bytes() in (before, after)
        assert finish(["book", "--update"], file.parent, book=True) == 0
        assert file.read_bytes() == after and not hidden(file.parents[1])


def test_a_full_disk_leaves_nothing_half_written(executed, tmp_path):
    """A limit on the size of files stands for a disk that is full at that byte."""
    for most in (0, 100, 1000, 3000):
        out = tmp_path / f"out-{most}"
        assert finish([*STRUCTURE, "--out", str(out)], out, most_bytes=most) == 2
        assert not out.exists()
    _, file, before, after = executed
    for most in (0, 1000, len(after) - 1):
        file.write_bytes(before)
        assert finish(["book", "--update"], file.parent, book=True, most_bytes=most) == 2
        assert file.read_bytes() == before and not hidden(file.parent)
