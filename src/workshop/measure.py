"""From a chapter's cell or the command line to a record: `chapter_settings` and `measure`."""

import ast
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from itertools import count
from math import isfinite
from pathlib import Path

from src.common.choices import one_of, shown
from src.common.folders import new_folder, remove_parts, visible
from src.common.sources import commit, digest, imported_files, versions
from src.evidence.records import Record, save_arrays
from src.experiments.base import Parameters, Settings
from src.experiments.resolve import resolve_run, scale_of
from src.experiments.settings import FOLDERS, without_repetition
from src.experiments.table import CHAPTERS, EXPERIMENTS

# The command line names here the folder in which a chapter leaves its records; unset, a chapter leaves none.
OUT_VARIABLE = "SPATIAL_OUT"


def chapter_settings(chapter: str, namespace: Mapping[str, object]) -> Parameters:
    """The settings of a running chapter: those that its globals hold, from its own cell or injected by papermill.

    ValueError for an injected name that is no parameter, a wrong value, and a size that does not fit the memory.
    """
    fields = CHAPTERS[chapter].settings.model_fields
    for name in _injected(namespace):
        one_of("parameter", name, fields)
    return resolve_run(chapter, {name: namespace[name] for name in fields if name in namespace})


def _injected(namespace: Mapping[str, object]) -> list[str]:
    """Names that papermill has set, in a cell of its own, which begins with this comment."""
    cells = (code for code in namespace.get("In", []) if code.startswith("# Parameters\n"))
    statements = (statement for code in cells for statement in ast.parse(code).body)
    return [target.id for each in statements if isinstance(each, ast.Assign) for target in each.targets]


def measure(claim: str, settings: Settings) -> Record:
    """Run the experiment of a claim, with those of the settings that are its own."""
    from src.common.device import device_name, peak_memory, pick_device, reset_peak_memory

    experiment = EXPERIMENTS[one_of("claim", claim, EXPERIMENTS)]
    run = import_module(f"src.experiments.{experiment.module}").run
    own = settings.narrowed(experiment.settings)
    device = pick_device(own.device)
    reset_peak_memory(device)
    source = {"commit": commit(), "source_digest": source_digest(claim)}
    scale = scale_of(claim, own)  # now, for presets may be edited while it runs
    started, clock = datetime.now(UTC), time.perf_counter()
    measured = run(own)
    notes = dict(measured.notes)
    seconds = time.perf_counter() - clock + notes.pop("resumed_seconds", 0)
    record = Record(
        claim=claim,
        chapter=experiment.chapter,
        parameters=as_recorded(own),
        seed=own.seed,
        scale=scale,
        metrics={name: [*map(_number, values)] for name, values in measured.metrics.items()},
        device=device_name(device),
        versions=versions(),
        **source,
        started=started.isoformat(timespec="seconds"),
        wall_seconds=round(seconds, 2),
        peak_memory_bytes=peak_memory(device),
        precision=notes.pop("precision", ""),
        notes=notes,
        arrays=_as_numpy(measured.arrays),
    )
    if OUT_VARIABLE in os.environ:
        _leave(record, Path(os.environ[OUT_VARIABLE], "records"))
    return record


def source_digest(claim: str) -> str:
    """Digest of the source that measures a claim."""
    return digest(imported_files(f"import src.experiments.{EXPERIMENTS[claim].module}"))


def as_recorded(settings: Settings) -> dict[str, object]:
    """The parameters as a record has them: of folders the last part, for the rest is of one machine."""
    return {
        name: Path(value).name if name in FOLDERS else value for name, value in settings.model_dump().items()
    }


def measure_into(folder: Path, claim: str, settings: Settings) -> Record | None:
    """Measure a claim into a new folder, unless that holds this record already.

    What diverges leaves its trajectory beside the folder. Under torchrun all processes compute, one writes, and the
    others return None.

    Raises
    ------
    ValueError : not all of torchrun's variables are set.
    FileExistsError : the folder holds anything else, or one beside it the same repetition.
    ArithmeticError : a descent or a training diverged. OSError : the record cannot be written, and where it is kept.
    """
    writes = _writes()
    if folder.exists():
        if writes:
            remove_parts(folder)
            return _recorded_before(folder, claim, settings)
        return None
    _check_neighbours(folder, claim, settings)
    from src.synthetic.divergence import DivergenceError
    from src.vision.training import NonFiniteLossError

    if not writes:
        measure(claim, settings)
        return None
    try:
        with new_folder(folder) as part:
            record = measure(claim, settings)
            _write(record, part)
    except (DivergenceError, NonFiniteLossError) as error:
        kept = save_arrays(folder.with_name(f"{folder.name}-diverged.npz"), error.arrays())
        raise ArithmeticError(f"{error}; the trajectory up to there is in {kept}") from error
    return record


def _writes() -> bool:
    """Whether this process is alone, or the first of torchrun's."""
    rank, size = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE"))
    if not rank and not size:
        return True
    if not (rank.isdecimal() and size.isdecimal() and int(rank) < int(size)):
        needed = "both, as torchrun sets them, or neither is needed"
        raise ValueError(f"RANK = {shown(rank)}, WORLD_SIZE = {shown(size)}: {needed}")
    return int(rank) == 0


def _recorded_before(folder: Path, claim: str, settings: Settings) -> Record:
    """The record in the folder, where it is of that claim, those settings and this source."""
    try:
        found = Record.load(folder)
    except ValueError as error:
        raise FileExistsError(f"{error}; choose another --out, or remove {folder} first") from None
    own = settings.narrowed(EXPERIMENTS[claim].settings)
    same = (found.claim, found.parameters) == (claim, as_recorded(own))
    if same and found.source_digest == source_digest(claim):
        return found
    what = "a record of these parameters by other source" if same else "another record"
    raise FileExistsError(
        f"{folder} holds {what} ({found.started}); choose another --out, or remove it first"
    )


def _check_neighbours(folder: Path, claim: str, settings: Settings) -> None:
    """Raise FileExistsError where a folder beside this one holds the same seed of the same setting."""
    own = as_recorded(settings.narrowed(EXPERIMENTS[claim].settings))
    for file in visible(folder.parent, "*/record.json"):
        with suppress(ValueError):  # a damaged one is named where records are read
            found = Record.load(file.parent)
            same = without_repetition(found.parameters) == without_repetition(own)
            if same and (found.claim, found.seed) == (claim, own["seed"]):
                raise FileExistsError(
                    f"{file.parent} holds seed = {found.seed} of this setting already, which would count twice; "
                    "choose another --out, or another seed"
                )


def _write(record: Record, part: Path) -> None:
    """Write the record; where that fails, at least into the folder of temporary files."""
    try:
        record.write(part)
    except OSError as error:
        kept = record.save(Path(tempfile.gettempdir(), f"{record.claim}-{os.getpid()}"))
        raise OSError(f"cannot write {part}: {error.strerror}; the record is in {kept}") from error


def _number(value: object) -> float | None:
    return float(value) if value is not None and isfinite(value) else None


def _as_numpy(arrays: Mapping[str, object]) -> dict:
    import numpy as np

    return {name: np.asarray(array) for name, array in arrays.items()}


def _leave(record: Record, folder: Path) -> None:
    """Save a chapter's record; one that measures a claim twice leaves a second one, with a number."""
    names = (record.claim if number == 1 else f"{record.claim}-{number}" for number in count(1))
    record.save(next(folder / name for name in names if not (folder / name).exists()))
