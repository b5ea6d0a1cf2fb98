"""Workers as processes of this machine, each with its own GPU or share of the cores."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from optuna_layerwise.launch.launchers import Request, Start, Worker


@dataclasses.dataclass(frozen=True)
class Place:
    """Where one worker runs.

    Args:
        name: For people, and of its log.
        gpu: What CUDA is to see; empty for none.
        threads: Of its computations on the CPU.
    """

    name: str
    gpu: str
    threads: int

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that keep a worker to its place."""
        threads = str(self.threads)
        return {
            "CUDA_VISIBLE_DEVICES": self.gpu,
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads),
        }


def gpu_places(gpus: str) -> list[Place]:
    """One place for each GPU of a list such as ``0,1``; one named twice has two workers.

    Raises:
        ValueError: for a list that is none.
    """
    names = [name.strip() for name in gpus.split(",")]
    if not all(re.fullmatch(r"\d+|(GPU|MIG)-[\w/-]+", name) for name in names):
        raise ValueError(
            f"--gpus must be numbers or UUIDs of GPUs with commas, such as 0,1, got {gpus!r}"
        )
    threads = _share(len(names))
    return [Place(f"{i}-gpu-{name}", name, threads) for i, name in enumerate(names)]


def cpu_places(n: int) -> list[Place]:
    """Places that share the cores of this machine, without a GPU.

    Raises:
        ValueError: if there is to be none.
    """
    if n < 1:
        raise ValueError(f"--workers must be at least 1, got {n}")
    return [Place(f"{i}-cpu", "", _share(n)) for i in range(n)]


def start_process(
    command: Sequence[str], place: Place, logs: Path, secrets: Mapping[str, str]
) -> LocalProcess:
    """Start a worker at its place; its output is added to a file in ``logs``.

    Args:
        command: With its arguments.
        place: Where it runs.
        logs: Folder, made if it is not there.
        secrets: Environment variables: what other users are not to see among its arguments.
    """
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"worker-{place.name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **place.environment, **secrets},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C in the terminal is ours to pass on
        )
    return LocalProcess(place.name, str(log), process)


@contextlib.contextmanager
def processes(request: Request) -> Iterator[list[Start]]:
    """One process for each GPU, or share of the cores; see `Launcher`.

    Raises:
        ValueError: if both or neither were said.
    """
    if (request.gpus is None) == (request.workers is None):
        raise ValueError("say either --gpus, such as 0,1, or --workers, for the cores")

    def start(place: Place, worker: Worker) -> LocalProcess:
        here = worker.placed(on_gpu=bool(place.gpu), threads=place.threads)
        return start_process(here.command(), place, request.folder, here.secrets())

    gpus = request.gpus
    places = gpu_places(gpus) if gpus is not None else cpu_places(request.workers or 0)
    yield [partial(start, place) for place in places]


@dataclasses.dataclass
class LocalProcess:
    """See `Running`."""

    name: str
    log: str
    process: subprocess.Popen[bytes]

    def poll(self) -> int | None:
        """See `Running`."""
        return self.process.poll()

    def stop(self) -> None:
        """See `Running`."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """See `Running`."""
        self.process.kill()
        self.process.wait()


def _share(n: int) -> int:
    """The cores that this process may use, over n workers."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max((cores or 1) // n, 1)
