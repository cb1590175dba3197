"""Names of the folders that runs and records go into."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from src.experiments.settings import FOLDERS

LONGEST = 120  # bytes of a name; file systems take 255, and a folder that is being filled has a longer one


def folder_name(start: str, changed: Sequence[str]) -> str:
    """A name that tells what differs from the defaults: all of it, or the first few changes and a digest of all."""
    # a checkpoint_folder does not change what comes out
    changed = [text for text in changed if not text.startswith("checkpoint_folder=")]
    parts = [start, *map(folder_part, changed)]
    digest = hashlib.sha256("\n".join(changed).encode()).hexdigest()[:8]
    kept = parts
    while len("-".join(kept).encode()) > LONGEST:
        parts = parts[:-1]
        kept = [*parts, digest]
    return "-".join(kept)


def folder_part(text: str) -> str:
    """`name=value` as a part of a folder's name; where the value is a folder, its last part."""
    name, _, value = text.partition("=")
    if name in FOLDERS:
        text = f"{name}={Path(value).name}"
    return text.replace("/", "_").replace(" ", "")
