"""Which chapter shows which claims, with which settings, and which function measures a claim."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from src.experiments import settings as of
from src.experiments import study_settings as study
from src.experiments.base import Parameters, Settings

RECORDS, RECORDS_AND_BENCHMARKS = "**/record.json", "**/*.json"


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
    """What measures a claim, or is a study without a verdict: `run` of that module of this package gives `Measured`."""

    chapter: str
    settings: type[Settings]
    module: str


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
        shows=RECORDS,
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
    "speed": Chapter(shows=RECORDS_AND_BENCHMARKS),
    "ten_lines": Chapter(),
    "status": Chapter(shows=RECORDS, shows_runs=True),
}


EXPERIMENTS = {
    "structure": Experiment("01_dataset", of.StructureSettings, "structure"),
    "linear-fails": Experiment("02_theory", of.LinearFailsSettings, "linear_fails"),
    "shortcut-exists": Experiment("02_theory", of.ShortcutExistsSettings, "shortcut_exists"),
    "gaussian": Experiment("figures", of.GaussianSettings, "gaussian"),
    "idealized": Experiment("02_theory", of.IdealizedSettings, "idealized"),
    "realistic": Experiment("03_synthetic_training", of.RealisticSettings, "realistic"),
    "events": Experiment("02_theory", of.EventsSettings, "events"),
    "over-training": Experiment("03_synthetic_training", of.OverTrainingSettings, "over_training"),
    "diagonal": Experiment("03_synthetic_training", of.DiagonalSettings, "diagonal"),
    "transfer": Experiment("04_transfer", of.TransferSettings, "transfer"),
    "samples-needed": Experiment("scale", of.SamplesNeededSettings, "samples_needed"),
    "overlapping-sets": Experiment("overlapping", study.OverlappingSettings, "overlapping"),
    "phase-diagram": Experiment("phase", study.PhaseSettings, "phase"),
    "parameterization": Experiment("parameterization", study.ParameterizationSettings, "parameterization"),
    "sequential-encoding": Experiment("neighbours", study.SequentialSettings, "sequential_encoding"),
    "three-cells": Experiment("cells", study.CellsSettings, "cells"),
    "algorithms": Experiment("algorithms", study.AlgorithmsSettings, "algorithms"),
    "locality-needs-order": Experiment("disorder", study.DisorderSettings, "disorder"),
    "spatial-probes": Experiment("probes", study.ProbesSettings, "probes"),
    "positions-read-back": Experiment("probes", study.ProbesSettings, "probes"),
    "fixed-pattern": Experiment("probes", study.ProbesSettings, "probes"),
    "many-layers": Experiment("layers", study.LayersSettings, "layers"),
    "structure-given": Experiment("given", study.GivenSettings, "given"),
    "pe-locality": Experiment("08_locality", of.LocalitySettings, "images"),
    "permuted": Experiment("08_locality", of.LocalitySettings, "images"),
    "permuted-blocks": Experiment("08_locality", of.LocalitySettings, "permuted_blocks"),
    "positional-cifar10": Experiment("05_cifar", of.ImagesSettings, "images"),
    "positional-cifar100": Experiment("05_cifar", of.ImagesSettings, "images"),
    "positional-svhn": Experiment("06_svhn", of.ImagesSettings, "images"),
    "positional-imagenet": Experiment("07_imagenet", of.ImagesSettings, "images"),
}
