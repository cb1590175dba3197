"""The command line: python -m src list | run | record | sweep | book | check."""

import locale
import os
import signal
import sys

from src.workshop.commands import main

if __name__ == "__main__":
    if locale.getencoding().lower() != "utf-8" and not sys.flags.utf8_mode:
        # In any locale files and symbols are UTF-8, here and in what is started.
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's way to say Ctrl-C
    sys.exit(main())
