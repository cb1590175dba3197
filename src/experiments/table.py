"""Which chapter shows which claims, with which settings, and which function measures a claim."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from src.experiments import settings as of
from src.experiments import study_settings as study
from src.experiments.base import Parameters, Settings

RECORDS, RESULTS = "**/record.json", "**/*.json"  # the second has what benchmarks wrote, too


@dataclass(frozen=True)
class Chapter:
    """A page of the book that is executed.

    settings : the class of its parameters. defaults : where this chapter's differ from the class's.
    measures : claims that it measures when it runs. shows : files of results/ that it draws, as a pattern; or none.
    shows_runs : whether it shows when and where the other chapters ran; such a page comes last.
    """

    settings: type[Parameters] = Parameters
    defaults: Mapping[str, object] = field(default_factory=dict)
    measures: tuple[str, ...] = ()
    shows: str = ""
    shows_runs: bool = False


@dataclass(frozen=True)
class Experiment:
    """What measures a claim, or is a study without a verdict: `run`, "module:function", gives a `Measured`."""

    chapter: str
    settings: type[Settings]
    run: str


CHAPTERS = {
    "01_dataset": Chapter(of.StructureSettings, measures=("structure",)),
    "02_theory": Chapter(
        of.TheorySettings, measures=("linear-fails", "shortcut-exists", "idealized"), shows=RECORDS
    ),
    "03_synthetic_training": Chapter(
        of.TrainingSettings,
        {"num_samples": 4000, "overtrain_steps": 400},
        measures=("realistic", "idealized"),
        shows=RECORDS,
    ),
    "04_transfer": Chapter(
        of.TransferSettings,
        {"num_seeds": 2, "num_samples": 4000, "sample_sizes": [3, 10, 30, 100, 300]},
        measures=("transfer",),
    ),
    "05_cifar": Chapter(
        of.ImagesSettings, {"epochs": 4, "permute": False}, measures=("positional-cifar10",), shows=RECORDS
    ),
    "06_svhn": Chapter(
        of.ImagesSettings,
        {"num_seeds": 2, "epochs": 4, "permute": False},
        measures=("positional-svhn",),
        shows=RECORDS,
    ),
    "07_imagenet": Chapter(
        of.ImagenetSettings,
        {
            "epochs": 4,
            "permute": False,
            "num_heads": 3,
            "mlp_dim": 192,
            "label_smoothing": 0.1,
            "resized_crop": 0.5,
        },
        measures=("positional-imagenet",),
        shows=RECORDS,
    ),
    "08_locality": Chapter(of.LocalitySettings, {"epochs": 4}, measures=("pe-locality",), shows=RECORDS),
    "figures": Chapter(
        of.GaussianSettings, {"ranks": [16, 4], "steps": 100}, measures=("gaussian",), shows=RECORDS
    ),
    "intro": Chapter(shows=RECORDS),
    "claims": Chapter(shows=RECORDS),
    "scale": Chapter(of.SamplesNeededSettings, measures=("samples-needed",), shows=RECORDS),
    "overlapping": Chapter(
        study.OverlappingSettings,
        {"num_seeds": 2, "num_samples": 4000},
        measures=("overlapping-sets",),
        shows=RECORDS,
    ),
    "phase": Chapter(study.PhaseSettings, measures=("phase-diagram",), shows=RECORDS),
    "parameterization": Chapter(
        study.ParameterizationSettings,
        {"num_seeds": 2, "num_samples": 2000, "steps": 200, "ranks": [16]},
        measures=("parameterization",),
        shows=RECORDS,
    ),
    "layers": Chapter(study.LayersSettings, {"num_train": 20000}, measures=("many-layers",), shows=RECORDS),
    "disorder": Chapter(
        study.DisorderSettings,
        {"conditions": ["in_place", "by_image"], "embed_dim": 32, "num_heads": 2, "mlp_dim": 32, "epochs": 4},
        measures=("locality-needs-order",),
        shows=RECORDS,
    ),
    "neighbours": Chapter(study.SequentialSettings, measures=("sequential-encoding",), shows=RECORDS),
    "probes": Chapter(
        study.ProbesSettings,
        {"num_seeds": 1, "embed_dim": 32, "mlp_dim": 64, "epochs": 2, "probe_images": 100},
        measures=("spatial-probes",),
        shows=RECORDS,
    ),
    "algorithms": Chapter(study.AlgorithmsSettings, {"steps": 150}, measures=("algorithms",), shows=RECORDS),
    "cells": Chapter(study.CellsSettings, measures=("three-cells",), shows=RECORDS),
    "given": Chapter(
        study.GivenSettings,
        {
            "num_seeds": 1,
            "variants": ["content", "convolved", "positional"],
            "patch_size": 4,
            "embed_dim": 32,
            "mlp_dim": 64,
            "epochs": 2,
            "share": 0.25,
        },
        measures=("structure-given",),
        shows=RECORDS,
    ),
    "speed": Chapter(shows=RESULTS),
    "ten_lines": Chapter(),
    "status": Chapter(shows=RECORDS, shows_runs=True),
}

IMAGES = "src.experiments.images:run"
PROBES = "src.experiments.probes:run"

EXPERIMENTS = {
    "structure": Experiment("01_dataset", of.StructureSettings, "src.experiments.structure:run"),
    "linear-fails": Experiment("02_theory", of.LinearFailsSettings, "src.experiments.linear_fails:run"),
    "shortcut-exists": Experiment(
        "02_theory", of.ShortcutExistsSettings, "src.experiments.shortcut_exists:run"
    ),
    "gaussian": Experiment("figures", of.GaussianSettings, "src.experiments.gaussian:run"),
    "idealized": Experiment("02_theory", of.IdealizedSettings, "src.experiments.idealized:run"),
    "realistic": Experiment("03_synthetic_training", of.RealisticSettings, "src.experiments.realistic:run"),
    "events": Experiment("02_theory", of.EventsSettings, "src.experiments.events:run"),
    "over-training": Experiment(
        "03_synthetic_training", of.OverTrainingSettings, "src.experiments.over_training:run"
    ),
    "diagonal": Experiment("03_synthetic_training", of.DiagonalSettings, "src.experiments.diagonal:run"),
    "transfer": Experiment("04_transfer", of.TransferSettings, "src.experiments.transfer:run"),
    "samples-needed": Experiment("scale", of.SamplesNeededSettings, "src.experiments.samples_needed:run"),
    "overlapping-sets": Experiment(
        "overlapping", study.OverlappingSettings, "src.experiments.overlapping:run"
    ),
    "phase-diagram": Experiment("phase", study.PhaseSettings, "src.experiments.phase:run"),
    "parameterization": Experiment(
        "parameterization", study.ParameterizationSettings, "src.experiments.parameterization:run"
    ),
    "sequential-encoding": Experiment(
        "neighbours", study.SequentialSettings, "src.experiments.sequential_encoding:run"
    ),
    "three-cells": Experiment("cells", study.CellsSettings, "src.experiments.cells:run"),
    "algorithms": Experiment("algorithms", study.AlgorithmsSettings, "src.experiments.algorithms:run"),
    "locality-needs-order": Experiment("disorder", study.DisorderSettings, "src.experiments.disorder:run"),
    "spatial-probes": Experiment("probes", study.ProbesSettings, PROBES),
    "positions-read-back": Experiment("probes", study.ProbesSettings, PROBES),
    "fixed-pattern": Experiment("probes", study.ProbesSettings, PROBES),
    "many-layers": Experiment("layers", study.LayersSettings, "src.experiments.layers:run"),
    "structure-given": Experiment("given", study.GivenSettings, "src.experiments.given:run"),
    "pe-locality": Experiment("08_locality", of.LocalitySettings, IMAGES),
    "permuted": Experiment("08_locality", of.LocalitySettings, IMAGES),
    "permuted-blocks": Experiment("08_locality", of.LocalitySettings, "src.experiments.permuted_blocks:run"),
    "positional-cifar10": Experiment("05_cifar", of.ImagesSettings, IMAGES),
    "positional-cifar100": Experiment("05_cifar", of.ImagesSettings, IMAGES),
    "positional-svhn": Experiment("06_svhn", of.ImagesSettings, IMAGES),
    "positional-imagenet": Experiment("07_imagenet", of.ImagesSettings, IMAGES),
}
