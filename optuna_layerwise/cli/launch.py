"""The command ``launch``: many workers at once, here or elsewhere, and the last test."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from optuna_layerwise.cli import show
from optuna_layerwise.cli.options import (
    DEFAULT_STORAGE,
    Finalize,
    Storage,
    StudyName,
    console,
    load_study,
    options_of,
    takes,
    told,
)
from optuna_layerwise.cli.status import study_progress
from optuna_layerwise.cli.terminal import study_options
from optuna_layerwise.cli.worker import Worker, checked_seconds
from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.io.fields import assignments
from optuna_layerwise.io.files import check_folder
from optuna_layerwise.io.plain import one_of, within
from optuna_layerwise.launch import DONE, HALTED, LAUNCHERS, Request, launcher_named, supervise
from optuna_layerwise.records.final import stored_final
from optuna_layerwise.storage import PATIENCE_SECONDS, journal_path
from optuna_layerwise.studies import order_of

_CLUSTERS = ("slurm", "local")


@takes(options_of(Worker))
def launch_command(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    gpus: Annotated[
        str | None, told("Machine", "GPUs of this machine, with one worker on each, as in 0,1.")
    ] = None,
    workers: Annotated[
        int | None, told("Machine", "Number of workers, if it does not follow from --gpus.")
    ] = None,
    engine: Annotated[
        str, told("Machine", f"Where workers run. One of {', '.join(LAUNCHERS)}.")
    ] = "local",
    gpus_per_worker: Annotated[
        float,
        told("Machine", "Number of GPUs of each worker on Ray, which takes fractions, or Slurm."),
    ] = 0.0,
    cpus_per_worker: Annotated[
        int, told("Machine", "Number of cores of each worker on Ray or Slurm.")
    ] = 1,
    ray_address: Annotated[
        str | None,
        told("Machine", "Ray cluster that runs already, such as auto. Default: a new one."),
    ] = None,
    cluster: Annotated[
        str, told("Machine", "What runs the jobs: slurm, or local to try it on this machine.")
    ] = "slurm",
    partition: Annotated[
        str | None, told("Machine", "Partition of Slurm that jobs are submitted to.")
    ] = None,
    minutes: Annotated[
        int, told("Machine", "Minutes that each Slurm job may run before it is requeued.")
    ] = 240,
    slurm_option: Annotated[
        list[str] | None,
        told("Machine", "Another option of Slurm, as in account=vision; repeatable."),
    ] = None,
    restarts: Annotated[
        int, told("Machine", "How many times in a row a worker that dies is started again.")
    ] = 5,
    finalize: Finalize = True,
    patience_seconds: Annotated[
        float,
        told("Machine", "Seconds that the database may be away, also when a worker starts."),
    ] = PATIENCE_SECONDS,
    **typed: Any,
) -> None:
    """Work on a study that `tune` created with many workers, and start the dead ones again.

    One worker for each GPU, or with --workers so many on the cores of this machine; or, with
    --engine, actors of a Ray cluster or Slurm jobs. Ends as `worker` does, with its exit codes.
    """
    within("--restarts", restarts, 0)
    within("--workers", 1 if workers is None else workers, 1, 10_000)
    within("--gpus-per-worker", gpus_per_worker, 0)
    within("--cpus-per-worker", cpus_per_worker, 1)
    within("--minutes", minutes, 1)
    one_of("--engine", engine, tuple(LAUNCHERS))
    one_of("--cluster", cluster, _CLUSTERS)
    of_slurm = assignments("--slurm-option", slurm_option)
    worker = Worker(study=study, storage=storage, patience_seconds=patience_seconds, **typed)
    checked_seconds(worker.lease_seconds, patience_seconds)
    opened = load_study(storage, study, patience_seconds=patience_seconds)
    stored = Settings.from_study(opened)
    if (order := order_of(opened)).halts and (order.ends or not worker.wait):
        console.print(
            f"study {study!r} is told to {order.value}; go on with\n"
            f"  optuna-layerwise resume {study_options(storage, study)} --no-work",
            soft_wrap=True,
        )
        raise typer.Exit(HALTED)
    settings = worker.settings(opened, stored)
    from optuna_layerwise.data.data_sources import takes
    from optuna_layerwise.experiments.joining import refuse_differences

    refuse_differences(study, settings, stored)
    if worker.image_root and not takes(settings.data, "image_root"):
        raise ValueError(f"image_root must be left out: {settings.data!r} is no table of images")
    folder = Path(settings.output or ".").absolute() / "workers"
    check_folder(folder, "--output")
    worker = dataclasses.replace(
        worker,  # with what was chosen here, which other machines are told
        storage=absolute_url(storage),
        data=settings.data,
        data_root=settings.data_root,
        image_root=list(settings.image_root) or None,
        weights=settings.weights,
        model=settings.model,
        output=settings.output or None,
    )
    request = Request(
        study=study,
        folder=folder,
        workers=workers,
        gpus=gpus,
        gpus_per_worker=gpus_per_worker,
        cpus_per_worker=cpus_per_worker,
        options={
            "ray_address": ray_address,
            "cluster": cluster,
            "minutes": minutes,
            "partition": partition,
            "slurm": of_slurm,
        },
    )
    last = dataclasses.replace(worker, finalize=finalize)
    with launcher_named(engine)(request) as starts:
        with study_progress(opened) as on_poll:
            code = supervise(
                [partial(starts[0], last), *(partial(start, worker) for start in starts[1:])],
                restarts=restarts,
                say=console.print,
                on_poll=on_poll,
            )
        if code == DONE and finalize and stored_final(opened) is None:  # the first has died
            with console.status("training the finalists and the baselines"):
                code = supervise(
                    [partial(starts[0], last)],
                    restarts=restarts,
                    say=console.print,
                    on_poll=lambda: None,
                )
    if code == DONE:
        if (final := stored_final(opened)) is not None:
            show.show(*show.result(opened, final, settings))
            show.show(*show.after_the_choice(opened, final, storage))
        else:
            show.show(*show.how_to_finalize(opened, storage))
    raise typer.Exit(code)


def absolute_url(url: str) -> str:
    """The URL of a file's database, whatever the folder of the process that reads it."""
    if (journal := journal_path(url)) is not None:
        return f"journal:///{os.path.abspath(journal)}"
    import sqlalchemy

    prefix, database = "sqlite:///", ""
    with contextlib.suppress(sqlalchemy.exc.ArgumentError):
        database = sqlalchemy.make_url(url).database or ""
    if not url.startswith(prefix) or database in ("", ":memory:"):
        return url
    return url.replace(prefix + database, prefix + os.path.abspath(database), 1)
