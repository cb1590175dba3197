"""Checkpoints: a file that knows what it was written for, refused by name for anything else, and whole or not there.

The first line holds the SHA-256 of the rest, which is `torch.save`'s. So a flipped bit is found before it is believed.
"""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from src.common.choices import shown
from src.common.folders import write_whole

MARK = b"spatial-structure checkpoint 2, sha256 "


def write(path: Path, known: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write a checkpoint; at no time is there half a one under its name.

    Raises
    ------
    ValueError : the state holds what a checkpoint cannot keep.
    """
    buffer = io.BytesIO()
    torch.save({"written for": dict(known), **state}, buffer)
    buffer.seek(0)
    if kinds := torch.serialization.get_unsafe_globals_in_checkpoint(buffer):
        needed = "numbers, strings, tensors, and lists and dicts of them, are needed"
        raise ValueError(f"the state holds {', '.join(kinds)}, which a checkpoint cannot keep; {needed}")
    content = buffer.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, MARK + hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def read(path: Path, known: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state that was written for the same; None where there is no file.

    Raises
    ------
    ValueError : a damaged or foreign file, or one written for something else, which is named.
    """
    if not path.exists():
        return None
    first, _, content = path.read_bytes().partition(b"\n")
    if first != MARK + hashlib.sha256(content).hexdigest().encode():
        raise ValueError(f"{path}: not a whole checkpoint; another file, or none to start anew, is needed")
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    before = state.pop("written for")
    for name in {**before, **known}:
        if before.get(name) != known.get(name):
            was, now = (shown(each.get(name), 60) for each in (before, known))
            raise ValueError(
                f"{path}: written with {name}={was}, now {now}; the same value is needed to resume"
            )
    return state
