"""The paper's picture: similarity of the encodings in a ViT that others have trained on ImageNet."""

import numpy as np

from src.common.seeding import child_generator
from src.experiments.measured import Measured
from src.experiments.settings import PretrainedSettings
from src.vision.pretrained import load_pretrained, timm_model
from src.vision.probes import locality, position_similarity

MODEL = "vit_small_patch32_224"


def run(settings: PretrainedSettings) -> Measured | None:
    """Before (a random start) and after training; None without weights. Cost: seconds. Expected: locality after."""
    if not settings.pretrained:
        return None
    start = timm_model(MODEL, generator=child_generator(settings.seed, "initialization"))
    trained = load_pretrained(MODEL, None if settings.pretrained == "download" else settings.pretrained)
    before, after = (position_similarity(model)[None] for model in (start, trained))
    found = locality(after[0], trained.grid)
    metrics = {"locality": [found.correlation], "neighbour_share": [found.neighbour_share]}
    arrays = {"similarity_before": before, "similarity_after": after, "grid": np.array(trained.grid)}
    return Measured(metrics, {name: np.asarray(array) for name, array in arrays.items()})
