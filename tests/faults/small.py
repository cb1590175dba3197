"""A training of seconds, and a book to break: what kills and damage are tried on."""

import shutil
from pathlib import Path

from src.workshop.runs import BOOK

IMAGES = {
    "train_limit": 64, "image_size": 8, "patch_size": 4, "embed_dim": 8, "depth": 1, "num_heads": 2, "mlp_dim": 8,
    "epochs": 3, "num_seeds": 1, "batch_size": 32, "permute": False, "device": "cpu", "precision": "32-true",
}  # fmt: skip


def committed(folder: Path) -> Path:
    """A copy of book/ in the folder; its first chapter."""
    shutil.copytree(BOOK, folder / "book")
    return folder / "book" / "01_dataset.ipynb"
