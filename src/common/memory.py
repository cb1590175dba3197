"""How much memory a run can have, found without torch, and how the C library hands it out."""

import ctypes
import os
import sys
from pathlib import Path

GIB = 2**30
# A device's own memory is known to torch alone, which takes seconds to load; no accelerator of today has more.
ACCELERATOR = 288 * GIB
# glibc's names for what `mallopt` sets, and the largest threshold that it takes.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, MOST_THRESHOLD = -1, -3, 32 * 2**20


def memory_at_hand(device: str) -> int:
    """Bytes: the machine's memory, or a container's share of it; more where an accelerator may compute."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        machine = min(machine, int(text))
    accelerated = device != "cpu" and Path("/dev/nvidia0").exists()
    return max(machine, ACCELERATOR) if accelerated else machine


def in_gib(size: int) -> str:
    """Three digits, and no float that a size beyond all machines would overflow."""
    return f"{size / GIB:.3g}" if size < 2**100 else "over 10^21"


def keep_freed_memory() -> None:
    """Have glibc keep what is freed for what comes next, in the whole process; elsewhere nothing changes.

    A training step on a CPU frees and asks for the same arrays, tens of megabytes, thousands of times. Handed back to
    the system each time, every page of them costs a fault when it returns: a seventh of the step of a small ViT.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, MOST_THRESHOLD)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
