"""What a run leaves behind: a folder with `record.json` and `arrays.npz`, and how it is read back."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from math import isfinite, nan
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from src.common.choices import refusal, shown
from src.common.folders import check_sums, new_folder, visible, write_sums, write_whole
from src.common.sources import ROOT

if TYPE_CHECKING:
    import numpy as np

RESULTS = ROOT / "results"
SCHEMA = 2  # 2: every parameter of the experiment is there


@dataclass(frozen=True)
class Record:
    """One run of one claim: what was asked, what was measured, on what machine, by which source.

    claim, chapter : keys of the claims page and of the chapter that shows it.
    parameters : every parameter of the experiment. seed : the one that all randomness derives from.
    scale : "laptop", "short" or "paper", decided when the record was made.
    metrics : name -> one value for each repetition, in their order, or one for all; None is "no value".
    arrays : name -> array; what figures are drawn from.
    device, versions, commit, source_digest, started (UTC), wall_seconds, peak_memory_bytes : provenance.
    precision : of the arithmetic, as "auto" was decided; empty where the experiment has no choice.
    notes : what else the run told of itself, such as the number of `classes` of its data set.
    """

    claim: str
    chapter: str
    parameters: dict[str, object]
    seed: int
    scale: str
    metrics: dict[str, list[float | None]]
    device: str
    versions: dict[str, str]
    commit: str
    source_digest: str
    started: str
    wall_seconds: float
    peak_memory_bytes: int
    schema: int = SCHEMA
    precision: str = ""
    notes: dict[str, object] = field(default_factory=dict)
    arrays: dict[str, "np.ndarray"] = field(default_factory=dict, repr=False, compare=False)

    @property
    def repetitions(self) -> tuple[tuple[int, int], ...]:
        """Which draws it holds: (seed, index) decides all randomness of a repetition."""
        return tuple((self.seed, index) for index in range(self.parameters.get("num_seeds", 1)))

    def values(self, metric: str) -> list[float | None]:
        """One value for each repetition. KeyError names the metrics there are."""
        if metric not in self.metrics:
            raise KeyError(
                f"the record of {self.claim} has no metric {metric!r}; it has {', '.join(self.metrics)}"
            )
        return self.metrics[metric]

    def mean(self, metric: str) -> float:
        """Mean over the repetitions that have a value; nan where none has."""
        values = known(self.values(metric))
        return fmean(values) if values else nan

    def text(self, metric: str, digits: int = 3) -> str:
        """The metric as the book quotes it: mean ± sample standard deviation (n)."""
        values = known(self.values(metric))
        return f"{quote(values, digits)} (n = {len(values)})"

    @property
    def origin(self) -> str:
        """Data, device, day and commit, for the eye."""
        data = f"{self.parameters['dataset']}, " if "dataset" in self.parameters else ""
        return f"{data}{self.device}, {self.started[:10]}, commit {self.commit}"

    def save(self, path: str | Path) -> Path:
        """Write the folder `path`, whole or not at all.

        FileExistsError where there is one already, ValueError where a metric is no number.
        """
        with new_folder(path) as folder:
            self.write(folder)
        return Path(path)

    def write(self, folder: Path) -> None:
        """Write record.json and arrays.npz into a folder that is there. ValueError where a metric is no number."""
        import numpy as np

        check_metrics(self.metrics)
        content = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "arrays"}
        (folder / "record.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        if self.arrays:
            np.savez_compressed(folder / "arrays.npz", **self.arrays)
        write_sums(folder)

    @classmethod
    def load(cls, path: str | Path) -> "Record":
        """Read a folder back. ValueError names the file that is missing, damaged or of another kind."""
        import numpy as np

        file = Path(path) / "record.json"
        if not file.is_file():
            raise ValueError(f"{path} holds no record.json; a folder that Record.save wrote is needed")
        try:
            content = json.loads(file.read_text())
            if content.get("schema") != SCHEMA:
                raise ValueError(f"schema {content.get('schema')!r}, where {SCHEMA} is needed")
            check_metrics(content["metrics"])
            record = cls(**content)
            file = file.with_name("arrays.npz")
            if file.is_file():
                with np.load(file, allow_pickle=False) as stored:
                    record.arrays.update(stored)
            check_sums(file.parent)
        except Exception as error:  # json, zip and numpy each have their own kind for a damaged file
            raise ValueError(f"{file} is not a readable record: {error}") from error
        return record


def known(values: Sequence[float | None]) -> list[float]:
    """The values that are there."""
    return [value for value in values if value is not None]


def quote(values: Sequence[float], digits: int = 3) -> str:
    """mean ± sample standard deviation; the mean alone of one value."""
    if not values:
        return "no value"
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{digits}f}{spread}"


def check_metrics(metrics: Any) -> None:
    """Raise ValueError, one line, where these are no metrics of a record."""
    if not isinstance(metrics, dict):
        raise ValueError(refusal("metrics", metrics, "a value for each name"))
    for name, values in metrics.items():
        if not isinstance(values, list) or not values or not all(map(_is_value, values)):
            needed = "a list of finite numbers, or of None for no value, one or more,"
            raise ValueError(refusal(f"the metric {shown(name, quoted=False)}", values, needed))


def _is_value(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (number and isfinite(value))


def check_repetitions(records: Sequence[Record]) -> None:
    """Raise ValueError, naming both, where two records hold the same repetition: it would count twice."""
    holder: dict[tuple[int, int], Record] = {}
    for record in records:
        for repetition in record.repetitions:
            if repetition in holder:
                names = " and ".join(map(_name, (holder[repetition], record)))
                seed, index = repetition
                raise ValueError(
                    f"repetition {index} of seed {seed} is in two records, {names}: leave one out"
                )
            holder[repetition] = record


def _name(record: Record) -> str:
    many = record.parameters.get("num_seeds", 1)
    return f"{record.claim} with seed = {record.seed}, num_seeds = {many} ({record.started})"


def load_records(folder: str | Path = RESULTS) -> list[Record]:
    """Every record below `folder`, in the order of their paths."""
    return [Record.load(file.parent) for file in visible(folder, "**/record.json")]


def load_benchmarks(folder: str | Path = RESULTS / "benchmarks") -> dict[str, dict[str, dict]]:
    """What `benchmarks/*.py --save` wrote: promise -> kind of processor -> content of the file."""
    found: dict[str, dict[str, dict]] = {}
    for file in sorted(Path(folder).glob("*.json")):
        key, _, device = file.stem.rpartition("-")
        try:
            found.setdefault(key, {})[device] = json.loads(file.read_text())
        except ValueError as error:
            raise ValueError(f"{file}: no benchmark's result: {error}") from error
    return found


def pooled(records: Sequence[Record]) -> Record:
    """Records that differ in nothing but their seed, as one: the metrics and curves that all have, the first's rest.

    Arrays named `…_by_epoch…` are over (…, repetitions, epochs); of the others the first record's are kept.
    ValueError where two hold the same repetition.
    """
    import numpy as np

    check_repetitions(records)
    first = records[0]
    shared = [name for name in first.metrics if all(name in each.metrics for each in records)]
    metrics = {name: [value for each in records for value in each.metrics[name]] for name in shared}
    curves = {
        name: np.concatenate([each.arrays[name] for each in records], axis=-2)
        for name in first.arrays
        if "_by_epoch" in name and all(name in each.arrays for each in records)
    }
    return replace(
        first,
        parameters=first.parameters | {"num_seeds": sum(each.parameters["num_seeds"] for each in records)},
        metrics=metrics,
        arrays=first.arrays | curves,
        wall_seconds=sum(each.wall_seconds for each in records),
    )


def save_arrays(file: Path, arrays: dict[str, object]) -> Path:
    """Write named arrays (or tensors) to one .npz file, whole or not at all."""
    import numpy as np

    file.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    on_cpu = {name: array.cpu() if hasattr(array, "cpu") else array for name, array in arrays.items()}
    np.savez_compressed(buffer, **{name: np.asarray(array) for name, array in on_cpu.items()})
    write_whole(file, buffer.getvalue())
    return file
