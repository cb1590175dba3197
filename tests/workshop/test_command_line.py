"""The command line as a user meets it: what it prints, its exit codes, and what it leaves on the disk."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from src.__main__ import main
from src.common.sources import ROOT
from src.evidence.claims import CLAIMS
from src.evidence.records import RESULTS, Record, load_records
from src.experiments import resolve
from src.experiments.resolve import resolve_run
from src.experiments.settings import StructureSettings
from src.experiments.table import CHAPTERS, EXPERIMENTS
from src.workshop.commands import build_parser
from src.workshop.grid import grid_points
from src.workshop.measure import as_recorded, source_digest
from src.workshop.names import LONGEST, folder_name
from src.workshop.runs import BOOK

TINY = ["-p", "num_seeds=2", "-p", "grid_side=4", "-p", "num_samples=50"]


def spatial(*arguments: str, cwd=None) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "src", *arguments], capture_output=True, text=True, cwd=cwd)


def test_list_is_a_table_of_the_chapters_with_their_claims(capsys):
    assert main(["list"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    starts = [header.index(name) for name in ("chapter", "title", "data", "seconds", "claims")]
    for chapter, row in zip(CHAPTERS, rows, strict=False):
        name, *_, claims = (
            row[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)
        )
        assert name == chapter
        assert claims == (", ".join(key for key, claim in CLAIMS.items() if claim.chapter == chapter) or "-")
    assert "3 " in rows[2] and "presets: laptop, paper, short" in rows


def documented_commands() -> list[str]:
    """Every command of `src` that a page for readers gives, but for those with a word in capitals to fill in."""
    pages = [ROOT / "README.md", BOOK / "reproduce.md", RESULTS / "README.md"]
    found = re.findall(r"python -m src ([^`#|\n]+)", "\n".join(page.read_text() for page in pages))
    return sorted({each.strip() for each in found if not re.search(r"[A-Z]{3}|…", each)})


@pytest.mark.parametrize("text", documented_commands())
def test_every_command_of_the_documentation_is_accepted(text):
    options = build_parser().parse_args(shlex.split(text))
    if hasattr(options, "grid"):
        assert grid_points(options.chapter, options.grid, options.parameter, preset=options.preset)
    elif hasattr(options, "claim"):
        chapter = EXPERIMENTS[options.claim].chapter
        resolve_run(chapter, options.parameter, preset=options.preset, claim=options.claim)
    elif hasattr(options, "parameter"):
        resolve_run(options.chapter, options.parameter, preset=options.preset)


def test_there_are_such_commands():
    assert {each.split()[0] for each in documented_commands()} >= {
        "list",
        "run",
        "record",
        "sweep",
        "book",
        "check",
    }


def test_list_of_one_chapter_has_its_parameters_with_type_range_and_meaning(capsys):
    assert main(["list", "03_synthetic_training"]) == 0
    printed = capsys.readouterr().out
    rows = {line.split()[0]: line for line in printed.splitlines() if line}
    for name in CHAPTERS["03_synthetic_training"].settings.model_fields:
        assert name in rows
    assert rows["num_samples"].split() == [
        "num_samples",
        "4000",
        "int,",
        "≥",
        "1",
        "training",
        "samples,",
        "N",
    ]
    assert (
        "claims: realistic" in printed
        and "01_dataset" not in printed
        and "preset paper, realistic: " in printed
    )
    assert main(["list", "03_synthetic"]) == 2


def test_list_takes_a_section_of_a_preset_that_changes_nothing(capsys, monkeypatch, tmp_path):
    (tmp_path / "mine.yaml").write_text("01_dataset:\n")
    monkeypatch.setattr(resolve, "PRESETS", tmp_path)
    assert main(["list", "01_dataset"]) == 0
    assert "preset mine, 01_dataset: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["list"], 0),
        (["list", "05_cifar"], 0),
        (["--help"], 0),
        (["sweep", "--help"], 0),
        (["run", "01_dataset", "-p", "seed=abc"], 2),
        (["run", "02_theory", "-p", "num_patches=4000000000"], 2),
        (["record", "structure", "-p", "num_samples=1000000000"], 2),
        (["record", "realstic"], 2),
        (["sweep", "01_dataset", "-g", "seed=a,b"], 2),
    ],
    ids=str,
)
def test_answers_and_refusals_need_neither_torch_nor_jupyter(arguments, code):
    probe = (
        "import sys, runpy; sys.argv = ['src', *sys.argv[1:]]\n"
        "try: runpy.run_module('src', run_name='__main__')\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'torch', 'numpy', 'papermill', 'nbformat', 'matplotlib', 'dask', 'distributed'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", probe, *arguments], capture_output=True, text=True)
    assert done.returncode == code, done.stderr


REFUSED = {
    "unknown parameter": (["-p", "num_sample=3"], "the nearest: num_samples"),
    "wrong type": (["-p", "seed=abc"], "seed = 'abc': int, ≥ 0 is needed"),
    "out of range": (
        ["-p", "distractor_prob=1.5"],
        "distractor_prob = 1.5: float, ≥ 0, ≤ 1 is needed; the nearest",
    ),
    "does not divide": (
        ["-p", "block=3"],
        "block = 3: a divisor of grid_side = 8, below it, is needed; the nearest: 2",
    ),
    "no samples": (["-p", "num_samples=0"], "num_samples = 0: int, ≥ 4 is needed; the nearest: 4"),
    "unknown preset": (
        ["--preset", "papre"],
        "preset = 'papre': laptop, paper, short is needed; the nearest: paper",
    ),
    "no value": (["-p", "seed"], "-p seed: name=value is needed"),
}


@pytest.mark.parametrize("command", [["run", "01_dataset"], ["record", "structure"]], ids=["run", "record"])
@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_line_exit_2_and_nothing_written(command, case, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, text = REFUSED[case]
    assert main([*command, *arguments, "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and text in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["run", "03_synthetic"], "chapter = '03_synthetic': .*; the nearest: 03_synthetic_training"),
        (
            ["run", "03_synthetic_training", "-p", "degree=4"],
            "degree = 4: an odd number is needed; the nearest: 5",
        ),
        (
            ["run", "03_synthetic_training", "-p", "steps=-5"],
            "steps = -5: int, ≥ 1 is needed; the nearest: 1",
        ),
        (
            ["run", "05_cifar", "-p", "download=flase"],
            "download = 'flase': bool is needed; the nearest: false",
        ),
        (["record", "realstic"], "claim = 'realstic': .*; the nearest: realistic"),
        (["record", "pe-locality", "-p", "dataset=cifar10", "-p", "data_folder=nowhere"], "nowhere"),
        (
            ["record", "structure", "-p", "device=cuda"],
            r"device = 'cuda': a device at hand \(no CUDA device is\) is needed; the nearest: cpu",
        ),
    ],
)
def test_more_bad_input(arguments, text, capsys, tmp_path, monkeypatch):
    import re

    monkeypatch.chdir(tmp_path)
    if "device=cuda" in arguments:
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main([*arguments, "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and re.search(text, error), error
    assert list(tmp_path.iterdir()) == []


def test_usage_errors_exit_2(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["rnu"])
    assert caught.value.code == 2


def test_record_writes_one_folder_and_knows_it_again(tmp_path, capsys):
    command = ["record", "structure", *TINY, "-p", "seed=3", "--out", str(tmp_path)]
    assert main(command) == 0
    (record,) = load_records(tmp_path)
    assert record.seed == 3 and record.parameters["grid_side"] == 4
    first = capsys.readouterr().out
    assert main(command) == 0
    assert capsys.readouterr().out == first
    assert load_records(tmp_path) == [record]


def test_a_repetition_that_is_there_under_another_name_is_refused(tmp_path, capsys):
    command = ["record", "structure", *TINY, "-p", "seed=3", "--out", str(tmp_path)]
    assert main(command) == 0
    assert main([*command, "-p", "device=cpu"]) == 2
    assert "holds seed = 3 of this setting already, which would count twice" in capsys.readouterr().err
    assert main([*command, "-p", "seed=4"]) == 0
    assert len(load_records(tmp_path)) == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seed": 4}, "holds another record"),
        ({"source_digest": "0"}, "holds a record of these parameters by other source"),
        (None, "holds no record.json"),
    ],
)
def test_a_folder_with_another_record_or_none_is_refused(change, reason, tmp_path, capsys):
    folder = tmp_path / "structure" / "laptop-num_seeds=1"
    command = ["record", "structure", "-p", "num_seeds=1", "--out", str(tmp_path)]
    settings = StructureSettings(num_seeds=1)
    known = {"parameters": as_recorded(settings.changed(seed=(change or {}).get("seed", 0)))}
    known["source_digest"] = (change or {}).get("source_digest", source_digest("structure"))
    if change:
        known |= {
            "seed": 0,
            "scale": "laptop",
            "metrics": {"accuracy": [1.0]},
            "device": "CPU",
            "versions": {},
        }
        known |= {"commit": "1", "started": "now", "wall_seconds": 1.0, "peak_memory_bytes": 1}
        Record("structure", "01_dataset", **known).save(folder)
    else:
        folder.mkdir(parents=True)
    assert main(command) == 2
    assert reason in capsys.readouterr().err


def test_a_diverging_record_keeps_its_trajectory(tmp_path, capsys):
    import numpy as np

    arguments = ["-p", "num_patches=16", "-p", "lr_value=1e30", "-p", "steps=50", "-p", "num_seeds=1"]
    assert main(["record", "idealized", *arguments, "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "lr_value = 1e+30 and lr_attention = 100" in error and "-diverged.npz" in error
    (kept,) = tmp_path.rglob("*-diverged.npz")
    assert len(np.load(kept)["alpha"]) > 1
    assert not list(tmp_path.rglob("record.json"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_write_permission(tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert main(["record", "structure", *TINY, "--out", str(tmp_path / "out")]) == 2
    assert "Permission denied" in capsys.readouterr().err


def test_an_output_below_a_file_is_refused_before_the_run(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for command in (["record", "structure"], ["run", "01_dataset"]):
        assert main([*command, *TINY, "--out", str(tmp_path / "file" / "out")]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: cannot write") and error.count("\n") == 1


def test_run_leaves_notebook_records_and_provenance_and_is_reused_or_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # any folder will do
    command = ["run", "01_dataset", *TINY, "--out", "my-run"]
    assert main([*command, "-p", "seed=3"]) == 0
    out = tmp_path / "my-run"
    assert sorted(path.name for path in out.iterdir()) == ["01_dataset.ipynb", "html", "records", "run.json"]
    assert capsys.readouterr().out == f"my-run\n{Path('my-run', 'html', 'index.html')}\n"
    assert Record.load(out / "records" / "structure").seed == 3
    done = json.loads((out / "run.json").read_text())
    assert done["parameters"]["seed"] == 3 and done["wall_seconds"] > 0

    capsys.readouterr()
    stamp = (out / "01_dataset.ipynb").stat().st_mtime_ns
    assert main([*command, "-p", "seed=3"]) == 0
    assert "holds this run already" in capsys.readouterr().err
    assert (out / "01_dataset.ipynb").stat().st_mtime_ns == stamp

    assert main([*command, "-p", "seed=4"]) == 2
    assert "my-run is in use by another run (01_dataset" in capsys.readouterr().err
    assert json.loads((out / "run.json").read_text()) == done


def test_a_folder_with_other_files_is_refused(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("mine")
    assert main(["run", "01_dataset", *TINY, "--out", str(tmp_path)]) == 2
    assert "is in use by other files" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_a_record_that_is_told_to_end_leaves_nothing(tmp_path):
    endless = [f"-p{name}=100000" for name in ("steps", "overtrain_steps")]
    command = [sys.executable, "-m", "src", "record", "realistic", *endless, "--out", tmp_path]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        while not list(tmp_path.rglob(".laptop*")):
            assert process.poll() is None
            time.sleep(0.1)
        process.terminate()
        assert process.communicate(timeout=60)[1] == "interrupted; nothing half-written was left\n"
    finally:
        process.kill()
    # Interrupted inside an exec, such as a dataclass in the making, Python itself ends by SIGINT: to a shell 130, too.
    assert process.returncode in (130, -signal.SIGINT) and not list(tmp_path.iterdir())


def test_a_failing_chapter_fails_the_command_and_leaves_nothing(tmp_path, capsys):
    arguments = ["-p", "dataset=cifar10", "-p", f"data_folder={tmp_path / 'nowhere'}"]
    assert main(["run", "05_cifar", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_check_reports_the_machine(capsys):
    assert main(["check"]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("torch", "device", "free disk"))


def test_plain_papermill_works_from_any_folder_and_refuses_a_wrong_name(tmp_path):
    papermill = [sys.executable, "-m", "papermill", str(BOOK / "01_dataset.ipynb"), "out.ipynb"]
    small = ["-p", "num_seeds", "1", "-p", "grid_side", "4", "-p", "num_samples", "50"]
    done = subprocess.run(
        [*papermill, *small, "-p", "seed", "3"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "seed = 3" in (tmp_path / "out.ipynb").read_text()
    done = subprocess.run(
        [*papermill, *small, "-p", "sed", "3"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "parameter = 'sed'" in done.stderr and "the nearest: seed" in done.stderr


TWENTY = {
    "train_limit": 64, "image_size": 8, "patch_size": 4, "embed_dim": 8, "depth": 1, "num_heads": 2, "mlp_dim": 8,
    "epochs": 1, "num_seeds": 1, "plain_steps": True, "batch_size": 32, "learning_rate": 0.002, "weight_decay": 0.01,
    "warmup_epochs": 0.5, "gradient_clip": 2.0, "label_smoothing": 0.1, "resized_crop": 0.5, "mixup": 0.1,
    "cutmix": 0.1, "device": "cpu",
}  # fmt: skip


@pytest.mark.parametrize("command", [["record", "pe-locality"], ["run", "05_cifar"]], ids=" ".join)
def test_twenty_parameters_make_a_folder_with_a_short_name_of_its_own(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = [f"-p{name}={value}" for name, value in TWENTY.items()]
    if command[0] == "record":
        arguments += ["--out", "outputs"]
    assert len(TWENTY) == 20 and main([*command, *arguments]) == 0
    made = {file.parent for file in tmp_path.glob("outputs/**/*.json") if "records" not in file.parts}
    (folder,) = made
    assert len(folder.name.encode()) <= LONGEST and "train_limit=64-image_size=8" in folder.name


def test_a_folders_name_tells_what_differs_and_of_much_the_first_and_a_digest():
    few = ["seed=3", "data_folder=/a/b", "checkpoint_folder=/c"]
    assert folder_name("laptop", few) == "laptop-seed=3-data_folder=b"
    many = [f"parameter_{k}={k}" for k in range(20)]
    names = {folder_name("laptop", [*many, f"seed={seed}"]) for seed in range(5)}
    assert len(names) == 5 and all(name.startswith("laptop-parameter_0=0-parameter_1=1-") for name in names)
    assert all(
        len(folder_name(*each).encode()) <= LONGEST
        for each in (("s", ["dataset=" + "ä" * 5000]), ("s", many))
    )


def test_relative_folders_are_the_callers(tmp_path, monkeypatch, capsys):
    from PIL import Image

    for split, index in ((split, index) for split in ("train", "val") for index in range(12)):
        folder = tmp_path / "here" / "mine" / split / f"class{index % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (20 * index, 0, 0)).save(folder / f"{index}.png")
    monkeypatch.chdir(tmp_path)
    small = {**TWENTY, "batch_size": 4, "train_limit": 0}
    for command, given in (
        (["run", "06_svhn"], {"dataset": "here/mine", "checkpoint_folder": "kept"}),
        (["record", "positional-svhn"], {"dataset": "mine", "data_folder": "here"}),
    ):
        arguments = [f"-p{key}={value}" for key, value in {**small, **given}.items()]
        assert main([*command, *arguments, "--out", command[0]]) == 0, capsys.readouterr().err
        (record,) = load_records(tmp_path / command[0])
        assert record.parameters["dataset"] == given["dataset"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "kept", "record", "run"]


def test_a_reader_that_goes_away_is_no_error():
    piped = f"{sys.executable} -m src list | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", piped], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()[0], done.stderr) == (0, "chapter", "")


def test_a_record_of_two_processes_is_that_of_one_and_written_once(tmp_path):
    settings = {"train_limit": 64, "epochs": 1, "num_seeds": 1, "embed_dim": 12, "depth": 1, "permute": False}
    arguments = ["record", "pe-locality", *(f"-p{name}={value}" for name, value in settings.items())]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for launcher, folder in (([], "one"), (torchrun, "two")):
        command = [sys.executable, *launcher, "-m", "src", *arguments, "--out", tmp_path / folder]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    one, two = (load_records(tmp_path / folder) for folder in ("one", "two"))
    assert len(one) == len(two) == 1
    for name, values in one[0].metrics.items():
        # rounding may move a few of the 999 permutations that a p-value counts across the line
        tolerance = 5e-3 if name.startswith("mantel_p") else 1e-3
        assert two[0].metrics[name] == pytest.approx(values, abs=tolerance), name


def test_a_record_needs_neither_notebooks_nor_the_checkers_of_tests(tmp_path):
    """As on a bare accelerator machine, which has torch, torchvision, Lightning and scikit-learn."""
    absent = (
        *("papermill", "nbformat", "jupyter_book", "ipykernel", "IPython", "traitlets", "pytest", "timm"),
        *("jaxtyping", "beartype", "dask", "distributed"),
    )
    probe = (
        "import sys, runpy\n"
        f"sys.modules.update(dict.fromkeys({absent!r}))\n"
        "sys.argv = ['src', *sys.argv[1:]]\n"
        "runpy.run_module('src', run_name='__main__')"
    )
    tiny = ["-pepochs=1", "-ptrain_limit=64", "-pnum_seeds=1", "-pembed_dim=8", "-pdepth=1"]
    tiny.append(f"-pcheckpoint_folder={tmp_path / 'checkpoints'}")
    for claim, parameters_ in (("pe-locality", tiny), ("structure", ["-pnum_seeds=1", "-pnum_samples=50"])):
        command = [sys.executable, "-c", probe, "record", claim, *parameters_, "--out", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    vision, _ = records = load_records(tmp_path)
    assert [record.claim for record in records] == ["pe-locality", "structure"]
    assert vision.parameters["checkpoint_folder"] == "checkpoints"
    assert not any(tmp_path.name in file.name for file in (tmp_path / "pe-locality").iterdir())
