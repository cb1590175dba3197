"""The command line: python -m src list | run | record | sweep | book | check."""

import signal
import sys

from src.workshop.commands import main

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's way to say Ctrl-C
    sys.exit(main())
