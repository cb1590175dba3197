"""Where a run computes: the device that a name means, the processor's name, the peak of memory."""

import platform
import resource
import sys

import torch

from src.common.choices import refusal


def pick_device(name: str) -> torch.device:
    """ "auto" is the accelerator where there is one. ValueError where the named one is not at hand."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError(refusal("device", name, "a device at hand (no CUDA device is)", "cpu"))
    return torch.device(name)


def processor(device: torch.device) -> str:
    """ "cuda", "amx" for a CPU with matrix units for bfloat16, or "cpu": timings of two kinds do not compare."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.11 may lack it
    return "amx" if device.type == "cpu" and capabilities.get("amx_bf16") else device.type


def device_name(device: torch.device) -> str:
    """The processor as a reader knows it, with the number of threads where it is the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo") as lines:
            model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    threads = torch.get_num_threads()
    return f"{model}, {threads} thread{'s' if threads > 1 else ''}"


def reset_peak_memory(device: torch.device) -> None:
    """Begin to watch the device allocator's peak; the CPU's cannot be reset."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int:
    """Bytes: the device allocator's peak since its reset, or the process's peak so far on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
