"""What a run leaves behind: a folder with `record.json` and `arrays.npz`, and how it is read back."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from src.common.folders import new_folder
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
    metrics : name -> one value for each repetition, in their order.
    arrays : name -> array; what figures are drawn from.
    device, versions, commit, source_digest, started (UTC), wall_seconds, peak_memory_bytes : provenance.
    """

    claim: str
    chapter: str
    parameters: dict[str, object]
    seed: int
    scale: str
    metrics: dict[str, list[float]]
    device: str
    versions: dict[str, str]
    commit: str
    source_digest: str
    started: str
    wall_seconds: float
    peak_memory_bytes: int
    schema: int = SCHEMA
    arrays: dict[str, "np.ndarray"] = field(default_factory=dict, repr=False, compare=False)

    def values(self, metric: str) -> list[float]:
        """One value for each repetition. KeyError names the metrics there are."""
        if metric not in self.metrics:
            raise KeyError(
                f"the record of {self.claim} has no metric {metric!r}; it has {', '.join(self.metrics)}"
            )
        return self.metrics[metric]

    def mean(self, metric: str) -> float:
        """Mean over the repetitions."""
        return fmean(self.values(metric))

    def text(self, metric: str, digits: int = 3) -> str:
        """The metric as the book quotes it: mean ± sample standard deviation (n)."""
        values = self.values(metric)
        return f"{quote(values, digits)} (n = {len(values)})"

    @property
    def origin(self) -> str:
        """Data, device, day and commit, for the eye."""
        data = f"{self.parameters['dataset']}, " if "dataset" in self.parameters else ""
        return f"{data}{self.device}, {self.started[:10]}, commit {self.commit}"

    def save(self, path: str | Path) -> Path:
        """Write the folder `path`, whole or not at all; FileExistsError where there is one already."""
        with new_folder(path) as folder:
            self.write(folder)
        return Path(path)

    def write(self, folder: Path) -> None:
        """Write record.json and arrays.npz into a folder that is there."""
        import numpy as np

        content = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "arrays"}
        (folder / "record.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        if self.arrays:
            np.savez_compressed(folder / "arrays.npz", **self.arrays)

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
            record = cls(**content)
            file = file.with_name("arrays.npz")
            if file.is_file():
                with np.load(file, allow_pickle=False) as stored:
                    record.arrays.update(stored)
        except Exception as error:  # json, zip and numpy each have their own kind for a damaged file
            raise ValueError(f"{file} is not a readable record: {error}") from error
        return record


def quote(values: Sequence[float], digits: int = 3) -> str:
    """mean ± sample standard deviation; the mean alone where there is one value."""
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{digits}f}{spread}"


def load_records(folder: str | Path = RESULTS) -> list[Record]:
    """Every record below `folder`, in the order of their paths."""
    return [Record.load(file.parent) for file in sorted(Path(folder).rglob("record.json"))]


def load_benchmarks(folder: str | Path = RESULTS / "benchmarks") -> dict[str, dict[str, dict]]:
    """What `benchmarks/*.py --save` wrote: promise -> device type -> content of the file."""
    found: dict[str, dict[str, dict]] = {}
    for file in sorted(Path(folder).glob("*.json")):
        key, device = file.stem.rsplit("-", 1)
        found.setdefault(key, {})[device] = json.loads(file.read_text())
    return found


def pooled(records: Sequence[Record]) -> Record:
    """Records that differ in nothing but their seed, as one: the metrics and curves that all have, the first's rest.

    Arrays named `…_by_epoch…` are over (models, repetitions, epochs); of the others the first record's are kept.
    """
    import numpy as np

    first = records[0]
    shared = [name for name in first.metrics if all(name in each.metrics for each in records)]
    metrics = {name: [value for each in records for value in each.metrics[name]] for name in shared}
    curves = {
        name: np.concatenate([each.arrays[name] for each in records], axis=1)
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
    """Write named arrays (or tensors on the CPU) to one .npz file, whole or not at all."""
    import numpy as np

    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part.npz")
    np.savez_compressed(part, **{name: np.asarray(array) for name, array in arrays.items()})
    part.replace(file)
    return file
