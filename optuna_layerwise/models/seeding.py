"""The global generators that dropout draws from."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

drawing = threading.RLock()
"""Held while layers are drawn, and while a state is put in place: other threads do so, too."""


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed those of the CPU and of this device; `torch.manual_seed` would touch every device's."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators that dropout draws from; on leaving, put their states back.

    Only the CPU's and this device's are touched. They belong to the whole process: fits of a
    model with dropout that run at once in threads of one process disturb each other's draws.
    """
    accelerators = [] if device.type == "cpu" else [device]
    kind = "cuda" if device.type == "cpu" else device.type
    forked = torch.random.fork_rng(devices=accelerators, device_type=kind)
    with ExitStack() as restore:
        with drawing:
            restore.enter_context(forked)
            seed_generators(seed, device)
        try:
            yield
        finally:
            with drawing:
                restore.close()
