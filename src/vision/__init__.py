"""The paper's experiments: deep ViTs with content and with positional attention, on images."""

from src.common.lazy import lazy_names

HOMES = {  # what the package offers, and where it lives
    "VisionTransformer": "src.vision.vit",
    "ImageSet": "src.vision.image_sets",
    "load_images": "src.vision.images",
    "TrainingSettings": "src.vision.settings",
    "TrainingHistory": "src.vision.training",
    "Evaluation": "src.vision.training",
    "fit": "src.vision.training",
    "evaluate": "src.vision.training",
    "Locality": "src.vision.probes",
    "locality": "src.vision.probes",
    "position_similarity": "src.vision.probes",
}
__getattr__, __dir__, __all__ = lazy_names(__name__, HOMES)
