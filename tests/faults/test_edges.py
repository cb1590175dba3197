"""Two at once, strangers, damage, and a machine that is not as expected."""

import asyncio
import json
import os
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import psutil
import pytest
from distributed.comm import connect
from small import IMAGES, committed

from src.__main__ import main
from src.common.folders import locked, new_folder, visible, write_whole
from src.evidence.figures.vision import example_images
from src.evidence.records import Record, load_records
from src.vision.images import load_images
from src.workshop import book, chapters, measure, runs, sweep
from src.workshop.runs import BOOK
from tests.records import record

TINY = ["-p", "num_seeds=1", "-p", "num_samples=50", "-p", "device=cpu"]
RECORD = record(
    {"accuracy": [0.9371, 0.9]},
    claim="structure",
    parameters={"seed": 0},
    arrays={"curve": np.linspace(0, 1, 50)},
)
VISION = [f"-p{name}={value}" for name, value in IMAGES.items()]


# --- damage ---


def test_no_flipped_bit_in_a_record_is_believed(tmp_path):
    folder, drawn, refused = RECORD.save(tmp_path / "record"), random.Random(0), 0
    for file in sorted(folder.iterdir()):
        whole = file.read_bytes()
        for _ in range(100):
            bit = drawn.randrange(8 * len(whole))
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            file.write_bytes(damaged)
            try:
                found = Record.load(folder)
            except ValueError:
                refused += 1
            else:
                assert found == RECORD and np.array_equal(found.arrays["curve"], RECORD.arrays["curve"])
        file.write_bytes(whole)
    assert refused > 290
    assert Record.load(folder) == RECORD


def test_what_was_half_written_is_no_record(tmp_path):
    RECORD.save(tmp_path / "structure" / "whole")
    with new_folder(tmp_path / "structure" / "next") as part:
        (part / "record.json").write_text("{")
        assert load_records(tmp_path) == [RECORD]
        assert visible(tmp_path, "**/record.json") == [tmp_path / "structure" / "whole" / "record.json"]


# --- two at once ---


def test_a_second_run_into_a_folder_is_refused_before_it_computes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(measure, "measure", None)  # it would be called
    folder = tmp_path / "structure" / "laptop-num_seeds=1-num_samples=50-device=cpu"
    with new_folder(folder):
        assert main(["record", "structure", *TINY, "--out", str(tmp_path)]) == 2
        assert "is being written by another process" in capsys.readouterr().err
        assert main(["run", "01_dataset", *TINY, "--out", str(folder)]) == 2
        assert "is being written by another process" in capsys.readouterr().err


def test_a_record_that_cannot_be_written_in_the_end_is_kept_elsewhere(tmp_path, capsys, monkeypatch):
    def full(record, folder):
        if tmp_path / "out" in folder.parents:
            raise OSError(28, "No space left on device")
        write(record, folder)

    write = Record.write
    monkeypatch.setattr(Record, "write", full)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    assert main(["record", "structure", *TINY, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "No space left on device; the record is in" in error
    (kept,) = load_records(tmp_path / "temporary")
    assert str(tmp_path / "temporary") in error and kept.claim == "structure"


def test_a_second_build_of_the_book_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(book, "BOOK_OUT", tmp_path)
    with locked(tmp_path / ".lock", "unused"):
        assert main(["book"]) == 2
    assert "another build of the book is at work" in capsys.readouterr().err


def test_an_edit_that_was_saved_meanwhile_is_not_overwritten(tmp_path, monkeypatch, capsys):
    file, executed = committed(tmp_path), tmp_path / "executed"
    monkeypatch.setattr(runs, "BOOK", tmp_path / "book")
    executed.mkdir()
    done = chapters.wanted_run("01_dataset", chapters.resolve("01_dataset"))
    (executed / "run.json").write_text(json.dumps(done))
    write_whole(executed / file.name, file.read_bytes())
    content = json.loads(file.read_text())
    for edit in ("source", "tags"):
        edited = json.loads(json.dumps(content))
        if edit == "source":
            edited["cells"][0]["source"] = ["mine"]
        else:
            edited["cells"][0]["metadata"]["tags"] = ["hide-input"]
        file.write_text(json.dumps(edited))
        with pytest.raises(ValueError, match=r"01_dataset.ipynb: changed since it was executed"):
            book._replace("01_dataset", executed)
        assert json.loads(file.read_text()) == edited
    file.write_text(json.dumps(content))
    book._replace("01_dataset", executed)


# --- strangers ---


def test_a_sweep_opens_no_port_through_which_a_stranger_can_run_code():
    async def knock(port):
        communication = await connect(f"tcp://127.0.0.1:{port}", timeout=2)
        await communication.write({"op": "identity"})
        return await communication.read()

    with sweep._local_cluster(1) as client:
        assert client.submit(sum, (1, 2)).result() == 3
        doors = [
            each.laddr
            for each in psutil.Process().net_connections("inet")
            if each.status == psutil.CONN_LISTEN
        ]
        assert all(door.ip == "127.0.0.1" for door in doors), doors
        for port in {door.port for door in doors}:
            with pytest.raises((OSError, TimeoutError)):
                asyncio.run(asyncio.wait_for(knock(port), 2))


# --- a machine that is not as expected ---


@pytest.mark.parametrize(
    "set_", [{"RANK": "1"}, {"WORLD_SIZE": "2"}, {"RANK": "2", "WORLD_SIZE": "2"}, {"RANK": "x"}]
)
def test_half_of_torchruns_variables_is_refused(set_, tmp_path, monkeypatch, capsys):
    for name, value in set_.items():
        monkeypatch.setenv(name, value)
    assert main(["record", "structure", *TINY, "--out", str(tmp_path)]) == 2
    assert "both, as torchrun sets them, or neither is needed" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_another_locale_changes_nothing():
    plain = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    for arguments, code in ((["list", "01_dataset"], 0), (["run", "01_dataset", "-pseed=-1"], 2)):
        command = [sys.executable, "-m", "src", *arguments]
        done = subprocess.run(command, env=plain, capture_output=True, cwd=BOOK.parent)
        assert done.returncode == code and "int, ≥ 0" in (done.stdout + done.stderr).decode("utf-8")


def test_a_download_without_network_tells_the_networks_error(tmp_path, monkeypatch):
    from urllib.error import URLError

    def unreachable(*arguments, **options):
        raise URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(OSError, match=r"cifar10: the download into .* failed: .*Name or service not known"):
        load_images("cifar10", tmp_path, download=True)
    with pytest.raises(FileNotFoundError, match="is missing"):
        load_images("cifar10", tmp_path)


def test_a_checkpoint_folder_that_cannot_be_written_is_refused_before_the_training(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("src.experiments.images.load_images", None)  # it would be called
    (tmp_path / "file").write_text("")
    folder = f"-pcheckpoint_folder={tmp_path / 'file' / 'kept'}"
    assert main(["record", "pe-locality", *VISION, folder, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: checkpoint_folder = ")
    assert "a folder that can be written (Not a directory)" in error
    assert not (tmp_path / "out").exists()


def test_a_training_that_diverges_keeps_its_history(tmp_path, capsys):
    arguments = [
        "-plearning_rate=100",
        "-pepochs=6",
        "-pgradient_clip=0",
        "-pweight_decay=1e6",
        "--out",
        str(tmp_path),
    ]
    assert main(["record", "pe-locality", *VISION, *arguments]) == 1
    error = capsys.readouterr().err
    assert "-diverged.npz" in error
    (kept,) = tmp_path.rglob("*-diverged.npz")
    with np.load(kept, allow_pickle=False) as arrays:
        assert {"train_loss", "observations"} <= set(arrays)
        assert len(arrays["observations"]) == len(arrays["train_loss"]) + 1
        assert np.isfinite(arrays["train_loss"]).all()


def test_a_point_of_a_sweep_has_the_callers_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(
        sweep,
        "PROGRAM",
        [sys.executable, "-c", "import os; open('here', 'w').write(os.environ['SPATIAL_DATA'])"],
    )
    monkeypatch.setattr(sweep, "read_run", lambda folder: {"wall_seconds": 0.0})
    monkeypatch.setenv("SPATIAL_DATA", "mine")
    caller = tmp_path / "caller"
    caller.mkdir()
    digest = chapters.chapter_digest("01_dataset")
    (tmp_path / "out").mkdir()
    assert (
        sweep.execute(["run", "01_dataset"], tmp_path / "out" / "point", digest, caller).status
        == sweep.FINISHED
    )
    assert (caller / "here").read_text() == "mine" and not list((tmp_path / "out").iterdir())


def test_a_class_may_have_any_name():
    names = np.array([r"$\bad{$", "$", "_^"])
    pictures = {"images": np.zeros((3, 4, 4, 3), np.uint8), "labels": names}
    figure = example_images(replace(RECORD, arrays=pictures))
    figure.canvas.draw()
    assert [axes.get_title() for axes in figure.axes] == list(names)


def test_texts_of_any_length_are_refused_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["sweep", "01_dataset", "-g", "x" * 5000],
        ["sweep", "01_dataset", "-g", "seed=0:" + "9" * 4000],
        ["sweep", "01_dataset", "-g", "seed=0:2", "--workers", "1" + "0" * 4000],
        ["record", "structure", *TINY, "--out", "x" * 5000],
        ["run", "01_dataset", "--preset", "x" * 5000],
        ["run", "x" * 5000],
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and len(error) < 1200
    assert not list(tmp_path.iterdir())
