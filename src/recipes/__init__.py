"""Recipes: one function a claim, from parameters to a Record. Chapters and the command line call the same one.

The functions are in `synthetic` and `vision`; a chapter imports the half it shows. Each takes parameters of its
chapter by name, all keywords without defaults (those are in the chapter's parameters cell). Where many belong
together, a recipe takes a dataclass whose fields are the parameters.
"""

import platform
import resource
import sys
import time
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from src.parameters import FOLDERS, scale_of
from src.records import Record, versions
from src.sources import commit, digest, imported_files


@dataclass(frozen=True)
class Measured:
    """What a recipe returns: metrics name -> one value for each repetition; arrays name -> array, tensor or list."""

    metrics: dict[str, list[float]]
    arrays: dict[str, Any] = field(default_factory=dict)


REGISTRY: dict[str, "Recipe"] = {}


@dataclass(frozen=True)
class Recipe:
    """A recipe and the claims that it serves; calling it with a chapter's parameters runs it and returns the Record."""

    measure: Callable[..., Measured]
    chapter_of: dict[str, str]

    def __call__(self, parameters: Mapping[str, object], claim: str | None = None) -> Record:
        """Run with those of the parameters that the recipe takes. `claim` is needed where it serves several."""
        claim = claim or next(iter(self.chapter_of))
        chapter = self.chapter_of[claim]
        device = pick_device(parameters["device"])
        chosen, arguments = self._take(parameters)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        source = {
            "commit": commit(),
            "source_digest": digest(imported_files(f"import {self.measure.__module__}")),
        }
        started, clock = datetime.now(UTC), time.perf_counter()
        measured = self.measure(**{**arguments, "device": device})
        return Record(
            claim=claim,
            chapter=chapter,
            parameters={k: Path(v).name if k in FOLDERS else v for k, v in chosen.items()},
            seed=chosen["seed"],
            scale=scale_of(chapter, chosen, claim),
            metrics={name: [float(value) for value in values] for name, values in measured.metrics.items()},
            device=device_name(device),
            versions=versions(),
            **source,
            started=started.isoformat(timespec="seconds"),
            wall_seconds=round(time.perf_counter() - clock, 2),
            peak_memory_bytes=peak_memory(device),
            arrays={name: np.asarray(array) for name, array in measured.arrays.items()},
        )

    def _take(self, parameters: Mapping[str, object]) -> tuple[dict[str, object], dict[str, object]]:
        """The parameters that the recipe takes: as a flat mapping, and as its arguments."""
        chosen, arguments = {}, {}
        hints = typing.get_type_hints(self.measure)
        for name, kind in ((name, kind) for name, kind in hints.items() if name != "return"):
            names = [each.name for each in fields(kind)] if is_dataclass(kind) else [name]
            part = {each: parameters[each] for each in names}
            chosen |= part
            arguments[name] = kind(**part) if is_dataclass(kind) else part[name]
        return chosen, arguments


def recipe(chapter: str, *claims: str) -> Callable[[Callable[..., Measured] | Recipe], Recipe]:
    """Register a function as the recipe of `claims`, shown in `chapter`; once more for those of another chapter."""

    def register(measure: Callable[..., Measured] | Recipe) -> Recipe:
        known = measure if isinstance(measure, Recipe) else Recipe(measure, {})
        made = Recipe(known.measure, known.chapter_of | dict.fromkeys(claims, chapter))
        REGISTRY.update(dict.fromkeys(made.chapter_of, made))
        return made

    return register


def pick_device(name: str) -> torch.device:
    """ "auto" is the accelerator where there is one. ValueError where the named one is not at hand."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device = 'cuda': no CUDA device is at hand; the nearest: 'cpu'")
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """The processor as a reader knows it, with the number of threads where it is the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo") as lines:
            model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    threads = torch.get_num_threads()
    return f"{model}, {threads} thread{'s' if threads > 1 else ''}"


def peak_memory(device: torch.device) -> int:
    """Bytes: the device allocator's peak during the run, or the process's peak so far on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
