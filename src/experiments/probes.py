"""Claims `spatial-probes`, `positions-read-back`, `fixed-pattern`: neighbours' measures on both attentions."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from src.common.choices import arguments_called
from src.common.folders import check_writable
from src.common.seeding import child_generator
from src.common.shapes import Bool, Float
from src.experiments.images import (
    Images,
    Trained,
    load,
    new_models,
    notes_of,
    spread_images,
    train_together,
)
from src.experiments.measured import Measured
from src.experiments.study_settings import ProbesSettings
from src.vision.augment import normalize
from src.vision.permutation import Permuted
from src.vision.probes import cosines, locality, position_similarity, undo_permutation
from src.vision.spatial_probes import (
    fixed_pattern,
    monotonicity,
    position_accuracy,
    structure,
    tokens_by_layer,
)
from src.vision.training import TrainingHistory, evaluate
from src.vision.vit import ATTENTIONS

STAGES = ("before", "after")
Values = dict[str, float | Float[Tensor, " layers"]]


class Looked(NamedTuple):
    """Images to fit a readout on or to measure with, and which of their patches lose their encodings."""

    images: Float[Tensor, "batch channels height width"]
    dropped: Bool[Tensor, "batch patches"]


def run(settings: ProbesSettings) -> Measured:
    """Sources: iREPA's and LOOPE's measures, DropPos's task, the zero image of Denoising Vision Transformers.

    All models of `images` but the convolutional net are trained, and probed before and after. Readouts are fitted on
    training images; everything is measured on those of `eval_split`. Cost: seconds by default.
    """
    check_writable(settings.checkpoint_folder)
    train, measured = (load(settings, split) for split in ("train", settings.eval_split))
    looked = [_look(settings, each, name) for each, name in ((train, "fit"), (measured, "measured"))]
    runs: dict[str, list[Trained]] = {}
    found: dict[str, dict[str, list[Values]]] = {}
    histories: list[TrainingHistory] = []
    for kind in ATTENTIONS:
        groups = new_models(settings, kind, len(train.classes))
        # whether each place is dropped in some image is the same before the training and after it
        with arguments_called(seen=f"drop_share = {settings.drop_share}", train="probe_images"):
            before = {name: [probe(each, *looked) for each in group] for name, group in groups.items()}
        members = [member for group in zip(*groups.values(), strict=True) for member in group]
        histories += train_together(settings, kind, members, train)
        for member in members:
            member.accuracy = evaluate(member.model, measured).accuracy
        for name, group in groups.items():
            found[name] = {"before": before[name], "after": [probe(each, *looked) for each in group]}
        runs |= groups
    return Measured(_metrics(runs, found), _arrays(found), notes_of(settings, train, histories))


def probe(member: Trained, fit: Looked, measured: Looked) -> Values:
    """Every measure of one model: of its encodings a number each, of its tokens one a layer."""
    network, grid = member.network, member.network.grid
    similarity = position_similarity(network).cpu()
    if isinstance(member.model, Permuted):
        similarity = undo_permutation(similarity, member.model.permutation.cpu())
    undirected, directed = monotonicity(similarity, grid)
    values = {
        f"{name}_encodings": each.item() for name, each in structure(similarity, grid)._asdict().items()
    }
    values |= {"undirected": undirected, "directed": directed}
    values["locality"] = locality(similarity, grid).correlation
    device = network.pos_embed.device
    seen, asked = (tokens_by_layer(member.model, each.images.to(device)).cpu() for each in (fit, measured))
    values |= {name: each.mean(1) for name, each in structure(cosines(asked), grid)._asdict().items()}
    values["readback"] = _by_layer(seen, asked)
    if network.add_encoding:
        without = [
            tokens_by_layer(member.model, each.images.to(device), each.dropped.to(device)).cpu()
            for each in (fit, measured)
        ]
        values["dropped"] = _by_layer(*without, (fit.dropped, measured.dropped))
    empty = tokens_by_layer(member.model, torch.zeros_like(measured.images[:1], device=device))[:, 0].cpu()
    return values | fixed_pattern(empty, asked)._asdict()


def _by_layer(train: Tensor, test: Tensor, seen: tuple[Tensor, Tensor] | None = None) -> Tensor:
    return torch.tensor([position_accuracy(*layer, seen) for layer in zip(train, test, strict=True)])


def _look(settings: ProbesSettings, images: Images, name: str) -> Looked:
    """Some images of a split, as the models take them, each with a share of its patches drawn to be dropped."""
    shown, _ = spread_images(images, settings.probe_images)
    patches = (settings.image_size // settings.patch_size) ** 2
    generator = child_generator(settings.seed, "dropped", name)
    order = torch.rand(len(shown), patches, generator=generator).argsort(-1)
    return Looked(normalize(shown, images.mean, images.std), order < round(settings.drop_share * patches))


def _metrics(
    runs: Mapping[str, Sequence[Trained]], found: Mapping[str, Mapping[str, list[Values]]]
) -> dict[str, list[float]]:
    """One value a repetition: accuracy; and `measure_stage_model`, of tokens at the last layer."""
    metrics = {f"accuracy_{name}": [each.accuracy for each in group] for name, group in runs.items()}
    for name, stages in found.items():
        for stage, rows in stages.items():
            for key in rows[0]:
                last = [torch.as_tensor(row[key]).flatten()[-1].item() for row in rows]
                metrics[f"{key}_{stage}_{name}"] = last
    return metrics | _differences(metrics, found)


def _differences(
    metrics: Mapping[str, list[float]], found: Mapping[str, Mapping[str, list[Values]]]
) -> dict[str, list[float]]:
    """Pair by pair: what training adds (gain) and the layers (climb), and content over positional (lead)."""
    differences = {}
    for name, stages in found.items():
        for key in {"lds", "readback", "dropped", "share"} & stages["after"][0].keys():
            both = (metrics[f"{key}_{stage}_{name}"] for stage in reversed(STAGES))
            differences[f"{key}_gain_{name}"] = [after - before for after, before in zip(*both, strict=True)]
            layers = [row[key] for row in stages["after"]]
            differences[f"{key}_climb_{name}"] = [(each[-1] - each[0]).item() for each in layers]
    for order in ("", "_permuted") if "content_permuted" in found else ("",):
        for key in ("share", "common"):
            both = (metrics[f"{key}_after_{kind}{order}"] for kind in ATTENTIONS)
            differences[f"{key}_lead{order}"] = [one - other for one, other in zip(*both, strict=True)]
    return differences


def _arrays(found: Mapping[str, Mapping[str, list[Values]]]) -> dict[str, object]:
    """Every measure of tokens, `measure_stage_model`, over (repetitions, layers)."""
    return {
        f"{key}_{stage}_{name}": torch.stack([row[key] for row in rows])
        for name, stages in found.items()
        for stage, rows in stages.items()
        for key, value in rows[0].items()
        if isinstance(value, Tensor)
    }
