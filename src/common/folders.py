"""Folders that are there whole or not at all."""

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Fill a temporary neighbour that becomes `path` at the end; where the block fails, leave no trace.

    OSError before the block runs where nothing can be written there.
    """
    path = Path(path).absolute()
    if path.exists():
        raise FileExistsError(f"{path} exists already; choose another folder, or remove it first")
    made = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield folder
        folder.chmod(0o755)  # mkdtemp's folders are private
        os.rename(folder, path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # another run may have moved in
            for parent in made:
                parent.rmdir()
        raise


def remove_parts(path: Path) -> None:
    """Remove what a process that was killed inside `new_folder` left of `path`."""
    for part in path.parent.glob(f".{glob.escape(path.name)}-{'[a-z0-9_]' * 8}"):  # as mkdtemp names them
        shutil.rmtree(part, ignore_errors=True)
