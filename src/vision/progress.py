"""How far a training is."""

import builtins
import math
import sys
import time


class Progress:
    """One line on stderr: rewritten in place on a terminal, anew every few seconds elsewhere, none in a notebook."""

    def __init__(self, epochs: int, steps: int, batch_size: int, shown: bool):
        self.epochs, self.steps, self.batch_size = epochs, steps, batch_size
        self.on_terminal = sys.stderr.isatty()
        self.shown = shown and not hasattr(builtins, "__IPYTHON__")
        self.begin = self.last = time.monotonic()
        self.first, self.loss = None, math.nan

    def show(self, epoch: int, step: int) -> None:
        done, total, now = epoch * self.steps + step, self.epochs * self.steps, time.monotonic()
        if self.first is None:
            self.first = done - 1  # of a resumed run
        if not self.shown or (now - self.last < (0.2 if self.on_terminal else 5) and done < total):
            return
        rate = (done - self.first) / (now - self.begin)
        minutes, seconds = divmod(round((total - done) / rate), 60)
        bar = "█" * (20 * done // total) + "·" * (20 - 20 * done // total)
        line = (
            f"{bar} epoch {epoch + 1}/{self.epochs}, step {step}/{self.steps}, loss {self.loss:.3f}, "
            f"{rate * self.batch_size:,.0f} images/s, {minutes}:{seconds:02d} left"
        )
        end = "" if self.on_terminal and done < total else "\n"
        print(f"\r{line}\033[K" if self.on_terminal else line, end=end, file=sys.stderr, flush=True)
        self.last = now
