"""Where a fit runs, and its random draws: CPU, CUDA or MPS, named by a string."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """The device called ``name``; ``auto`` takes CUDA, else MPS, else the CPU.

    Raises:
        ValueError: if it is not one of CPU, CUDA and MPS, or this machine does not have it.
    """
    if name == "auto":
        name = "cuda" if _count("cuda") else "mps" if _count("mps") else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"device must be 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps', got {name!r}")
    if (device.index or 0) >= _count(device.type):
        raise ValueError(
            f"device {str(name)!r} is not available: torch {torch.__version__} sees "
            f"{_count('cuda')} CUDA and {_count('mps')} MPS devices; choose 'auto' or 'cpu'"
        )
    return device


def device_name(device: torch.device) -> str:
    """As people know it, such as ``NVIDIA H100 80GB HBM3``.

    The name of a CPU has torch's number of threads: sums are added up in another order with
    another number, which can change the last digits of a result.
    """
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    threads = torch.get_num_threads()
    return f"{_processor()} with {threads} thread{'s' if threads > 1 else ''}"


@cache
def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)", _text(cpuinfo), re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _count(kind: str) -> int:
    """How many devices of this kind torch can use here."""
    if kind == "cuda":
        return torch.cuda.device_count() if torch.cuda.is_available() else 0
    return int(torch.backends.mps.is_available()) if kind == "mps" else 1


def generator_states(device: torch.device) -> dict[str, torch.Tensor]:
    """The states of the global generators that `seeded` seeds, by kind of device."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_generator_states(states: Mapping[str, torch.Tensor], device: torch.device) -> None:
    """Put back what `generator_states` gave for a device of the same kind."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states["mps"])
