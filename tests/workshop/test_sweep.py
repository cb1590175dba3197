"""Grids, and what becomes of their points: finished, skipped, tried again, failed; never lost."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from urllib.request import urlopen

import psutil
import pytest

from src.__main__ import main
from src.evidence.records import load_records
from src.experiments.resolve import resolve
from src.experiments.settings import StructureSettings
from src.experiments.table import CHAPTERS
from src.workshop import sweep
from src.workshop.grid import grid_points
from src.workshop.runs import read_run

TINY = ["-p", "num_seeds=1", "-p", "block=2", "-p", "num_samples=50"]


def test_a_grid_is_every_combination_the_last_changing_fastest():
    points = grid_points("01_dataset", ["seed=0:2", "num_samples=50, 100"], ["num_seeds=1"])
    assert [point.name for point in points] == [
        f"seed={seed}-num_samples={n}" for seed in (0, 1) for n in (50, 100)
    ]
    assert points[1].settings == resolve("01_dataset", {"seed": 0, "num_samples": 100, "num_seeds": 1})


@pytest.mark.parametrize(
    ("chapter", "text", "expected"),
    [
        ("01_dataset", "seed=3:4", [3]),
        ("01_dataset", "distractor_prob=0.5,1", [0.5, 1.0]),
        ("01_dataset", "device=cpu,auto", ["cpu", "auto"]),
        ("05_cifar", "permute=true,false", [True, False]),
        ("03_synthetic_training", "sample_sizes=100,200;400", [[100, 200], [400]]),
    ],
)
def test_values_are_read_as_their_parameter_reads_them(chapter, text, expected):
    name = text.partition("=")[0]
    assert [getattr(point.settings, name) for point in grid_points(chapter, [text])] == expected


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_point_is_told_what_it_reads_back_as_its_settings(chapter, tmp_path):
    settings = resolve(chapter)
    lists = {name: value for name, value in settings.model_dump().items() if isinstance(value, list)}
    texts = {name: value[1:] for name, value in lists.items() if isinstance(value[-1:] and value[-1], str)}
    settings = settings.changed(**texts, **({"seed": 3} if hasattr(settings, "seed") else {}))
    told = [
        each.removeprefix("-p") for each in sweep.command(chapter, settings, tmp_path) if "-p" in each[:2]
    ]
    assert resolve(chapter, told) == settings and {*texts} <= {each.partition("=")[0] for each in told}
    assert bool(texts) == (chapter in ("cells", "disorder", "given"))


def test_each_point_keeps_its_own_checkpoints():
    points = grid_points("05_cifar", ["seed=0:2"], ["checkpoint_folder=/kept"])
    assert [point.settings.checkpoint_folder for point in points] == ["/kept/seed=0", "/kept/seed=1"]


REFUSED = {
    "no grid": ([], "at least one NAME=START:STOP or NAME=a,b,c is needed"),
    "no value": (["-g", "seed"], "-g seed: NAME=START:STOP or NAME=a,b,c is needed"),
    "unknown name": (["-g", "sed=0:3"], "the nearest: seed"),
    "wrong type": (["-g", "seed=1,abc"], "seed = 'abc': int, ≥ 0 is needed"),
    "out of range": (
        ["-g", "distractor_prob=0.5,2"],
        "distractor_prob = 2: float, ≥ 0, ≤ 1 is needed; the nearest: 1",
    ),
    "below the range": (["-g", "seed=-2:2"], "seed = -2: int, ≥ 0 is needed; the nearest: 0"),
    "points that do not fit": (
        ["-g", "grid_side=4,6", "-g", "block=2,3"],
        "block = 3: a divisor of grid_side = 4, below it,",
    ),
    "empty value": (["-g", "seed=1,"], "seed = '': int, ≥ 0 is needed"),
    "empty range": (["-g", "seed=3:3"], "-g seed=3:3: START:STOP of 1 to 10000 values"),
    "half a range": (["-g", "seed=3:"], "-g seed=3:: START:STOP in integers is needed"),
    "endless range": (["-g", "seed=0:1000000000"], "the nearest: 0:10000"),
    "endless grid": (["-g", "seed=0:1000", "-g", "num_seeds=1:99"], "a grid of 98000 points; at most 10000"),
    "twice a value": (["-g", "distractor_prob=0.5,.5"], ".5 is there twice; each value once is needed"),
    "twice -g": (["-g", "seed=1", "-g", "seed=2"], "-g seed=2: seed is set twice"),
    "-g and -p": (["-g", "seed=0:3", "-p", "seed=1"], "-g seed=0:3: seed is set twice"),
    "bad -p": (
        ["-g", "seed=0:3", "-p", "block=3"],
        "block = 3: a divisor of grid_side = 8, below it, is needed",
    ),
    "preset": (["-g", "seed=0:3", "--preset", "papre"], "preset = 'papre': laptop, paper, short is needed"),
    "workers": (
        ["-g", "seed=0:3", "--workers", "0"],
        "--workers = 0: int, ≥ 1, ≤ 1000 is needed; the nearest: 1",
    ),
    "retries": (["-g", "seed=0:3", "--retries", "some"], "--retries = 'some': int, ≥ 0, ≤ 1000 is needed"),
    "no address": (
        ["-g", "seed=0:3", "--scheduler", "here"],
        "--scheduler = 'here': the address of a running one",
    ),
    "both": (
        ["-g", "seed=0:3", "--workers", "2", "--scheduler", "tcp://h:1"],
        "--workers = 2: the scheduler",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_one_line_exit_2_and_nothing_written(case, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, text = REFUSED[case]
    assert main(["sweep", "01_dataset", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and text in error, error
    assert list(tmp_path.iterdir()) == []


def test_two_points_cannot_share_a_folder():
    with pytest.raises(ValueError, match="two points would share the folder data_folder=data"):
        grid_points("05_cifar", ["data_folder=/a/data,/b/data"])


def test_no_scheduler_at_an_address(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep, "CONNECT_SECONDS", 1)
    assert main(["sweep", "01_dataset", "-g", "seed=0:2", "--scheduler", "tcp://127.0.0.1:1"]) == 2
    error = capsys.readouterr().err
    assert (
        error.count("\n") == 1 and "--scheduler = 'tcp://127.0.0.1:1': the address of a running one" in error
    )
    assert list(tmp_path.iterdir()) == []


def test_a_tls_scheduler_without_a_certificate_is_one_line(capsys, tmp_path):
    command = ["sweep", "01_dataset", "-g", "seed=0:2", "--out", str(tmp_path / "out")]
    assert main([*command, "--scheduler", "tls://127.0.0.1:1"]) == 2
    error = capsys.readouterr().err
    assert (
        error.count("\n") == 1
        and "a certificate in dask's settings, distributed.comm.tls, is needed" in error
    )


def test_a_folder_in_use_is_refused_before_anything_runs(capsys, tmp_path):
    (tmp_path / "seed=1").mkdir()
    (tmp_path / "seed=1" / "thesis.tex").write_text("mine")
    assert main(["sweep", "01_dataset", "-g", "seed=0:2", "--out", str(tmp_path)]) == 2
    assert "seed=1 is in use by other files" in capsys.readouterr().err
    assert [file.name for file in tmp_path.rglob("*")] == ["seed=1", "thesis.tex"]


@pytest.fixture
def pretended(monkeypatch, tmp_path):
    """Each point is a small process in the place of `python -m src`; what was tried, by seed."""
    script = tmp_path / "pretend.py"
    script.write_text(PRETEND)
    monkeypatch.setattr(sweep, "PROGRAM", [sys.executable, str(script), str(tmp_path / "tried")])
    return lambda: sorted((tmp_path / "tried").read_text().split())


PRETEND = r"""
import json, os, pathlib, signal, sys
log, *arguments = sys.argv[1:]
seed = next((a[7:] for a in arguments if a.startswith("-pseed=")), "0")
out = pathlib.Path(next(a[6:] for a in arguments if a.startswith("--out=")))
with open(log, "a") as file:
    file.write(seed + "\n")
first = pathlib.Path(log).read_text().split().count(seed) == 1
if seed == "1":
    sys.exit(print("error: it refuses", file=sys.stderr) or 2)
if seed == "2" or (seed == "0" and first):
    sys.exit(print("noise\nerror: it breaks", file=sys.stderr) or 1)
if seed == "4" and first:
    os.kill(os.getpid(), signal.SIGKILL)
out.mkdir()
(out / "run.json").write_text(json.dumps({"wall_seconds": 1.0}))
"""


def test_what_breaks_is_tried_again_and_what_refuses_is_not(pretended, tmp_path):
    lines, points = [], grid_points("01_dataset", ["seed=0:5"])
    outcomes = sweep.run(points, tmp_path / "out", sweep.Way(workers=2), lines.append)
    assert pretended() == ["0", "0", "1", "2", "2", "2", "3", "4", "4"]
    assert outcomes == {
        "seed=0": sweep.Outcome(sweep.FINISHED, 1.0),
        "seed=1": sweep.Outcome(sweep.FAILED, reason="it refuses"),
        "seed=2": sweep.Outcome(sweep.FAILED, reason="it breaks"),
        "seed=3": sweep.Outcome(sweep.FINISHED, 1.0),
        "seed=4": sweep.Outcome(sweep.FINISHED, 1.0),
    }
    assert len(lines) == 5 and lines[-1].startswith("5 of 5, 0:00 left: seed=")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["seed=0", "seed=3", "seed=4"]


def test_a_point_that_is_killed_each_time_says_so(pretended, tmp_path):
    points = grid_points("01_dataset", ["seed=4"])
    outcomes = sweep.run(points, tmp_path / "out", sweep.Way(workers=1, retries=0))
    assert outcomes["seed=4"].reason == "its process was killed, out of memory perhaps"
    assert not (tmp_path / "out").exists()


def test_a_worker_with_other_source_or_another_disk_says_so(tmp_path):
    command = sweep.command("01_dataset", StructureSettings(), tmp_path / "point")
    here = sweep.execute(command, tmp_path / "point", "another digest")
    assert here.status == sweep.FAILED and "are not those that the sweep began with" in here.reason
    there = sweep.execute(command, tmp_path / "nowhere" / "point", "any")
    assert there.status == sweep.FAILED and "a folder that all share is needed" in there.reason


@pytest.mark.parametrize("whom", ["group", "process"])
def test_an_interrupted_sweep_leaves_no_process_and_no_file(whom, tmp_path):
    """Ctrl-C in a terminal goes to the whole group; `kill -INT` to the one process."""
    endless = [f"-p{name}=100000" for name in ("steps", "overtrain_steps")]
    command = [sys.executable, "-m", "src", "sweep", "03_synthetic_training", *endless]
    command += ["-g", "seed=0:4", "--workers", "2", "--out", str(tmp_path / "out")]
    # what runs in the background may have it ignored
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heard
    )
    try:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob("out/.seed=*.part"))) < 2:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        points = psutil.Process(process.pid).children(recursive=True)
        (os.killpg if whom == "group" else os.kill)(process.pid, signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 130 and said.splitlines()[-1] == "interrupted; nothing half-written was left"
    assert points and not psutil.wait_procs(points, timeout=10)[1]
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_loses_no_point_to_one_that_fails_and_goes_on_where_it_was(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # any folder will do
    tiny = [f"-p{text}" for text in ("num_seeds=1", "num_patches=16", "steps=20")]
    command = ["sweep", "02_theory", *tiny, "--workers", "2", "--retries", "0", "--out", "out"]
    assert main([*command, "-g", "lr_value=1e30,0.001"]) == 1
    printed = capsys.readouterr()
    _, broken, finished = printed.out.splitlines()
    assert broken.split()[:2] == ["lr_value=1e30", "failed"] and "lr_value = 1e+30" in broken
    assert finished.split()[:2] == ["lr_value=0.001", "finished"]
    assert len(printed.err.splitlines()) == 2 and "papermill" not in printed.err
    out = tmp_path / "out"
    assert [folder.name for folder in out.iterdir()] == ["lr_value=0.001"]
    assert [each.parameters["lr_value"] for each in load_records(out) if each.claim == "idealized"] == [0.001]

    stamp = (out / "lr_value=0.001" / "run.json").stat().st_mtime_ns
    assert main([*command, "-g", "lr_value=0.001"]) == 0
    printed = capsys.readouterr()
    assert "finished before" in printed.out and printed.err == ""
    assert (out / "lr_value=0.001" / "run.json").stat().st_mtime_ns == stamp


def test_other_users_can_neither_reach_a_local_sweep_nor_read_its_pages():
    def ports():
        open_ones = psutil.Process().net_connections()
        return {each.laddr for each in open_ones if each.status == psutil.CONN_LISTEN}

    before = ports()
    with sweep._local_cluster(1) as client:
        opened = ports() - before
        assert client.scheduler.address.startswith("inproc://")
        assert {address.ip for address in opened} == {"127.0.0.1"}
        for address in opened:  # dask's own list of its pages
            with urlopen(f"http://127.0.0.1:{address.port}/sitemap.json", timeout=10) as answer:
                assert json.load(answer) == {"paths": ["/sitemap.json"]}
    assert ports() == before


def test_points_run_on_the_workers_of_a_running_scheduler(tmp_path, capsys):
    from distributed import LocalCluster

    command = ["sweep", "01_dataset", *TINY, "-g", "grid_side=4", "--out", str(tmp_path)]
    options = {"processes": True, "dashboard_address": "127.0.0.1:0", "host": "127.0.0.1"}
    with LocalCluster(n_workers=0, threads_per_worker=1, **options) as cluster:
        command += ["--scheduler", cluster.scheduler_address]
        assert main(command) == 2
        assert "a scheduler with workers (dask worker tcp://" in capsys.readouterr().err
        cluster.scale(1)
        cluster.wait_for_workers(1)
        assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["grid_side=4", "finished"]
    assert read_run(tmp_path / "grid_side=4")["chapter"] == "01_dataset"
