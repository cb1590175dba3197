"""`python -m src list` against an interpreter that does nothing."""

import subprocess
import sys

from harness import Promise, arguments, compare, finish

from src.common.sources import ROOT
from src.experiments.table import CHAPTERS

NOTHING, LIST = "python -c pass", "python -m src list"
PROMISE = Promise(
    "list_command",
    f"{LIST} answers within half a second: it imports neither torch nor jupyter.",
    at_most_seconds=0.5,
)


def run(*arguments: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


def main() -> None:
    chosen = arguments(__doc__)
    printed = run("-m", "src", "list")
    missing = [chapter for chapter in CHAPTERS if chapter not in printed]
    if missing:
        raise SystemExit(f"the list lacks {', '.join(missing)}")
    calls = {NOTHING: lambda: run("-c", "pass"), LIST: lambda: run("-m", "src", "list")}
    rows = compare(calls, repeats=chosen.repeats, device=chosen.device)
    agreed = "The list holds every chapter; both interpreters start from nothing."
    finish(PROMISE, rows, chosen, reference=NOTHING, contender=LIST, agreement=agreed)


if __name__ == "__main__":
    main()
