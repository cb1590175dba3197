"""What a killed process runs: a command of `src`, until the n-th change that it makes below a folder, or to its end."""

import os
import resource
import signal
import sys
from pathlib import Path

CHANGES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "shutil.rmtree"}
PRELOADED = [
    "src.workshop.measure",
    "src.experiments.structure",
    "src.experiments.images",
    "lightning.fabric",
]


def command(arguments, folder, kill_at=0, most_bytes=None, book=False):
    """Exit with the command's code; `counted` below the folder's parent gets the number of changes."""
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, to the end
    main = small_book(Path(folder).parent) if book else _main()
    made = 0

    def count(event, given):
        nonlocal made
        if event in CHANGES and str(given[0]).startswith(str(folder)) and not _only_reads(event, given):
            made += 1
            if made == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    if most_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    code = main(arguments)
    if most_bytes is None:
        Path(folder).parent.joinpath("counted").write_text(str(made))
    os._exit(code)


def _only_reads(event, given):
    return event == "open" and not given[2] & (os.O_WRONLY | os.O_RDWR)


def _main():
    from src.workshop.commands import main

    return main


def small_book(folder):
    """The command `book` on a copy of book/ in `folder`, with one chapter, and without the HTML."""
    from src.workshop import book, runs, sweep

    sweep.PROGRAM = [sys.executable, __file__, str(folder)]  # chapters are executed from the copy, too
    book.CHAPTERS = {"01_dataset": book.CHAPTERS["01_dataset"]}
    book.BOOK_OUT, runs.BOOK = folder / "out", folder / "book"
    book.site.of_book = lambda executed, site: book.BOOK_OUT
    return _main()


if __name__ == "__main__":
    sys.exit(small_book(Path(sys.argv[1]))(sys.argv[2:]))
