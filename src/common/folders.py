"""Files and folders that are there whole or not at all, whatever ends the process that writes them.

What is being written has a hidden name beside its place: `.NAME.part`, and `.NAME.lock` while a process holds it.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from src.common.choices import refusal

SUMS = "SHA256SUMS"


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Fill a hidden neighbour that becomes `path` at the end; where the block fails, leave no trace.

    From the start `path` is this process's: another one is refused, and what a killed one left of it is removed.
    Where the neighbour, filled, cannot become `path`, it is kept under a name that the error tells.

    Raises
    ------
    FileExistsError : `path` is there, or another process is filling it. OSError : nothing can be written there.
    """
    path = Path(path).absolute()
    made = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with locked(_beside(path, "lock"), f"{path} is being written by another process; wait for it"):
            if path.exists():
                raise FileExistsError(f"{path} exists already; choose another folder, or remove it first")
            part = _beside(path, "part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            try:
                yield part
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise
            _put_in_place(part, path)
    except BaseException:
        with suppress(OSError):  # another run may have moved in
            for parent in made:
                parent.rmdir()
        raise


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{kind}")


def _put_in_place(part: Path, path: Path) -> None:
    try:
        for each in (*part.rglob("*"), part):
            _sync(each)
        os.rename(part, path)
        _sync(path.parent)
    except OSError as error:
        with suppress(OSError):
            part = part.rename(_beside(path, f"kept-{os.getpid()}"))
        raise OSError(f"{path}: {error.strerror}; what was computed is in {part}") from error


def _sync(path: Path) -> None:
    """Wait until the disk has a file's bytes, or a folder's names."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def locked(file: Path, busy: str) -> Iterator[None]:
    """Hold a lock file, which no way to end a process leaves held. FileExistsError(busy) where another holds it."""
    while True:
        opened = open(file, "w")  # noqa: SIM115, held beyond this loop
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            opened.close()
            raise FileExistsError(busy) from None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(opened.fileno()), os.stat(file)):
                break
        opened.close()  # its last holder has removed it meanwhile
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        opened.close()


def remove_parts(path: Path) -> None:
    """Remove what a process that was killed inside `new_folder` left of `path`, unless another is filling it."""
    with suppress(OSError), locked(_beside(path, "lock"), "busy"):
        shutil.rmtree(_beside(path, "part"), ignore_errors=True)


def visible(folder: str | Path, pattern: str) -> list[Path]:
    """What matches below `folder`, sorted, without hidden names: those are not finished, or never were."""
    found = sorted(Path(folder).glob(pattern))
    return [file for file in found if not any(p.startswith(".") for p in file.relative_to(folder).parts)]


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file, or replace it: at every moment it is the old one or the new one. OSError names it."""
    path = Path(path).resolve()
    part = _beside(path, "part")
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, part)
        os.replace(part, path)
        _sync(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def check_writable(folder: str) -> None:
    """Say before the training that a checkpoint could not be written after it; an empty name asks for none."""
    if not folder:
        return
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        needed = f"a folder that can be written ({error.strerror})"
        raise ValueError(refusal("checkpoint_folder", folder, needed)) from None


def write_sums(folder: Path) -> None:
    """Add SHA256SUMS over the files of a folder, as `sha256sum --check` reads it."""
    files = sorted(file for file in folder.iterdir() if file.name != SUMS)
    (folder / SUMS).write_text("".join(f"{_sum(file)}  {file.name}\n" for file in files))


def check_sums(folder: Path) -> None:
    """Raise ValueError, naming the file, where one differs from the folder's SHA256SUMS, if it has that."""
    sums = folder / SUMS
    for line in sums.read_text().splitlines() if sums.is_file() else ():
        known, _, name = line.partition("  ")
        file = folder / name
        if not (name and file.is_file() and _sum(file) == known):
            raise ValueError(f"{file} is not as it was written: it differs from its line in {SUMS}")


def _sum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
