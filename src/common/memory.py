"""How much memory a run can have, found without torch."""

import os
from pathlib import Path

GIB = 2**30
# A device's own memory is known to torch alone, which takes seconds to load; no accelerator of today has more.
ACCELERATOR = 288 * GIB


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
