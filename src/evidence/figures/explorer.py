"""Whom a patch's encoding resembles, and where each head looks from it: one self-contained piece of HTML."""

import json

import matplotlib
import numpy as np
from matplotlib.colors import to_hex

from src.evidence.html import Html, base64_text, widget
from src.evidence.records import Record
from src.evidence.statements import MODELS

STAGES = ("before", "during", "after")


def patch_explorer(record: Record, *, title: str = "Whom does a patch resemble?") -> Html:
    """Both models side by side, of the first repetition; the reader points at a patch, or moves by arrow keys.

    The same record gives the same text, byte for byte, so that an executed notebook has clean diffs.

    Parameters
    ----------
    record : with arrays `grid` (2,), `similarity_before`, `…_during`, `…_after` (models, patches, patches) and
        `attention_content`, `attention_positional` (layers, heads, 1 + patches, 1 + patches), the CLS token first.

    Raises
    ------
    ValueError : a record without these arrays.

    Notes
    -----
    Similarities have 256 levels between the smallest and the largest of two *different* patches at any stage. A head's
    row has 256 levels from 0 to its largest value, CLS left out: what counts is where it looks.
    """
    needed = ("grid", *(f"similarity_{stage}" for stage in STAGES), *(f"attention_{kind}" for kind in MODELS))
    if absent := [name for name in needed if name not in record.arrays]:
        raise ValueError(f"record has no array {absent[0]}: one of a run on images is needed")
    similarity = np.stack([record.arrays[f"similarity_{stage}"] for stage in STAGES], axis=1)
    rows, columns = map(int, record.arrays["grid"])
    others = similarity[..., ~np.eye(rows * columns, dtype=bool)]
    low, high = float(others.min()), float(others.max())
    attention = {kind: record.arrays[f"attention_{kind}"][:, :, 1:, 1:] for kind in MODELS}
    colours = matplotlib.colormaps["viridis"](np.arange(256), bytes=True)[:, :3]
    layers, heads = attention["content"].shape[:2]
    return widget(
        "explorer",
        "patch-explorer",
        title=title,
        rows=rows,
        columns=columns,
        layers=layers,
        heads=heads,
        stages=json.dumps(_stage_names(record)),
        last=len(STAGES) - 1,
        colours=base64_text(colours),
        stops=",".join(to_hex(colour / 255) for colour in colours[::17]),
        low=f"{low:.2f}",
        high=f"{high:.2f}",
        models=[
            {
                "name": name,
                "similarity": _levels((similarity[index] - low) / (high - low or 1)),
                "attention": _levels(attention[kind] / attention[kind].max(-1, keepdims=True)),
            }
            for index, (kind, name) in enumerate(MODELS.items())
        ],
    )


def _stage_names(record: Record) -> list[str]:
    epochs = record.parameters["epochs"]
    return ["before training", f"after {(epochs + 1) // 2} of {epochs} epochs", f"after {epochs} epochs"]


def _levels(shares: np.ndarray) -> str:
    return base64_text(np.rint(255 * np.clip(shares, 0, 1)).astype(np.uint8))
