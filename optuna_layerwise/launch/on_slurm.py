"""Workers as Slurm jobs, through submitit; a job that is preempted is queued again.

https://github.com/facebookincubator/submitit. Slurm warns a job by a signal (submitit asks for
USR2, 90 seconds before): the worker gives its trial back with a checkpoint, and the job is queued
again. Whichever worker comes first continues the trial.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from optuna_layerwise.io.texts import file_name
from optuna_layerwise.launch.exits import FAILED
from optuna_layerwise.launch.launchers import Request, Start, Worker
from optuna_layerwise.studies.pausing import StopSignals

_REQUEUES = 10_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Jobs:
    """Where and how jobs are submitted.

    Args:
        folder: On a file system that all nodes share.
        cluster: ``slurm``, or ``local``: processes of this machine, to try it.
        gpus: Of each job.
        cpus: Of each job.
        minutes: That a job may run; then it is queued again.
        partition: Of Slurm.
        options: More of Slurm's, such as ``{"account": "vision"}``.
    """

    folder: Path
    cluster: str = "slurm"
    gpus: int = 0
    cpus: int = 1
    minutes: int = 240
    partition: str | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def submit(self, name: str, worker: Callable[[], int]) -> SlurmJob:
        """Submit a worker as a job of the given name.

        Raises:
            FileNotFoundError: if there is no Slurm here.
            ValueError: if submitit is not installed.
        """
        submitit = _submitit()
        if self.cluster == "slurm" and shutil.which("sbatch") is None:
            raise FileNotFoundError(
                "--engine slurm needs Slurm's commands, but there is no sbatch in PATH; run it on "
                "a login node, or try it with --cluster local"
            )
        executor = submitit.AutoExecutor(
            self.folder,
            cluster=self.cluster,
            slurm_max_num_timeout=_REQUEUES,
            local_max_num_timeout=_REQUEUES,
        )
        slurm: dict[str, Any] = {"slurm_additional_parameters": dict(self.options)}
        if self.partition is not None:
            slurm["slurm_partition"] = self.partition
        executor.update_parameters(
            name=name,
            timeout_min=self.minutes,
            gpus_per_node=self.gpus,
            cpus_per_task=self.cpus,
            tasks_per_node=1,
            nodes=1,
            stderr_to_stdout=True,
            **slurm,
        )
        job = executor.submit(Requeueing(worker))
        return SlurmJob(f"{name} (job {job.job_id})", str(job.paths.stdout), job)


@contextlib.contextmanager
def jobs(request: Request) -> Iterator[list[Start]]:
    """One job for each worker; see `Launcher`.

    Raises:
        ValueError: if a job is to have a part of a GPU.
    """
    workers, options = request.elsewhere, request.options
    if not float(request.gpus_per_worker).is_integer():
        raise ValueError(f"--gpus-per-worker of Slurm is whole, got {request.gpus_per_worker}")
    queue = Jobs(
        folder=request.folder,
        cluster=options["cluster"],
        gpus=int(request.gpus_per_worker),
        cpus=request.cpus_per_worker,
        minutes=options["minutes"],
        partition=options["partition"],
        options=options["slurm"],
    )

    def submit(name: str, worker: Worker) -> SlurmJob:
        return queue.submit(name, request.placed(worker))

    yield [partial(submit, f"{file_name(request.study)}-{index}") for index in range(workers)]


@dataclasses.dataclass
class Requeueing:
    """A worker that is queued again, as itself, when its job is preempted.

    submitit calls `checkpoint` in its handler of the signal. Ours comes first, so that the worker
    ends its step and gives its trial back; then the signal is raised again for submitit's.
    """

    worker: Callable[[], int]

    def __call__(self) -> int:
        """Run the worker; returns its exit code, or does not return if it is queued again."""
        preemption = getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}")
        with StopSignals(preemption) as stop:
            code = self.worker()
        if stop.number == preemption:
            signal.raise_signal(preemption)
        return code

    def checkpoint(self) -> Any:
        """What submitit queues again: the same worker, since the study holds all state."""
        return _submitit().helpers.DelayedSubmission(self)


@dataclasses.dataclass
class SlurmJob:
    """See `Running`."""

    name: str
    log: str
    job: Any

    def poll(self) -> int | None:
        """See `Running`; a job that raised, or left no result, has failed."""
        errors = _submitit().core.utils
        if not self.job.done():
            return None
        try:
            return int(self.job.result())
        except (errors.UncompletedJobError, errors.FailedJobError):
            return FAILED

    def stop(self) -> None:
        """See `Running`; Slurm sends SIGTERM."""
        self.job.cancel(check=False)

    def kill(self) -> None:
        """See `Running`."""
        self.job.cancel(check=False)


def _submitit() -> Any:
    try:
        return importlib.import_module("submitit")
    except ModuleNotFoundError as error:
        raise ValueError(
            "--engine slurm needs submitit: pip install 'optuna-layerwise[slurm]'"
        ) from error
