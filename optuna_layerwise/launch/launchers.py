"""Where workers can run: each launcher by its name, and what it is asked for."""

from __future__ import annotations

import dataclasses
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from optuna_layerwise.launch.supervising import Running


class Worker(Protocol):
    """A worker as plain data: it can be sent elsewhere and called, or run as a command."""

    def __call__(self) -> int:
        """Work to the study's target; returns the exit code."""

    def command(self) -> list[str]:
        """The same as a command of this machine."""

    def secrets(self) -> Mapping[str, str]:
        """Environment variables of that command: what others must not see among its words."""

    def placed(self, *, on_gpu: bool, threads: int) -> Worker:
        """A copy; device and threads that the user left open are those of its place."""


Start = Callable[[Any], Running]
"""Starts a `Worker`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be launched.

    Args:
        study: Name of the study, for the names of jobs.
        folder: Where logs are written; on a cluster, all nodes see it.
        workers: Number of workers, if it was said.
        gpus: GPUs of this machine, such as ``0,1``, if they were said.
        gpus_per_worker: GPUs of each worker elsewhere.
        cpus_per_worker: CPUs of each worker elsewhere.
        options: Options of single launchers, by name.
    """

    study: str
    folder: Path
    workers: int | None = None
    gpus: str | None = None
    gpus_per_worker: float = 0.0
    cpus_per_worker: int = 1
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def elsewhere(self) -> int:
        """Number of workers of a launcher for other machines.

        Raises:
            ValueError: if GPUs of this machine were said.
        """
        if self.gpus is not None:
            raise ValueError("--gpus is for this machine; elsewhere say --gpus-per-worker")
        return self.workers or 1

    def placed(self, worker: Worker) -> Worker:
        """The worker with the device and threads that it has elsewhere."""
        return worker.placed(on_gpu=self.gpus_per_worker > 0, threads=self.cpus_per_worker)


Launcher = Callable[[Request], AbstractContextManager[Sequence[Start]]]
"""Yields one function for each worker, which starts it, and again if it has died."""

LAUNCHERS = {
    "local": "optuna_layerwise.launch.local:processes",
    "ray": "optuna_layerwise.launch.on_ray:actors",
    "slurm": "optuna_layerwise.launch.on_slurm:jobs",
}
"""Name to the place of a `Launcher`; the one list of them."""


def launcher_named(name: str) -> Launcher:
    """A launcher of `LAUNCHERS`."""
    launcher: Launcher = pkgutil.resolve_name(LAUNCHERS[name])
    return launcher
