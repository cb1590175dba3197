"""What is freed is kept for what comes next."""

import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = """
import resource, sys
import numpy as np
from src.common.memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def step():
    arrays = [np.ones(2**20) for _ in range(20)]  # 8 MiB each, written to
step(), step(), step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_memory_comes_back_without_page_faults():
    """A process of its own, for the C library keeps what it was told."""
    faults = {
        way: int(subprocess.check_output([sys.executable, "-c", FAULTS, way], cwd=Path(__file__).parents[2]))
        for way in ("kept", "returned")
    }
    assert faults["kept"] < 100 < 2000 < faults["returned"]
