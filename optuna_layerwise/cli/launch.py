"""The command ``launch``: many workers at once, here or elsewhere, and the last test."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from optuna_layerwise.cli import show
from optuna_layerwise.cli.options import (
    DEFAULT_STORAGE,
    Storage,
    StudyName,
    assignments,
    console,
    load_study,
    one_of,
)
from optuna_layerwise.cli.resume import (
    AllowDifferent,
    Data,
    DataRoot,
    Device,
    Download,
    ImageRoot,
    Model,
    Output,
    Threads,
    Weights,
    settings_here,
)
from optuna_layerwise.cli.status import study_progress
from optuna_layerwise.cli.stored_paths import TrustPaths
from optuna_layerwise.cli.terminal import study_options
from optuna_layerwise.cli.worker import (
    LeaseSeconds,
    Wait,
    Worker,
    checked_seconds,
)
from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.io.files import check_folder
from optuna_layerwise.io.plain import within
from optuna_layerwise.launch import DONE, HALTED, LAUNCHERS, Request, launcher_named, supervise
from optuna_layerwise.records.final import stored_final
from optuna_layerwise.storage import LEASE_SECONDS, PATIENCE_SECONDS, journal_path
from optuna_layerwise.studies import order_of

_CLUSTERS = ("slurm", "local")


def launch_command(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    gpus: Annotated[
        str | None, typer.Option(help="One worker each on these GPUs of this machine: 0,1.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Number of workers, where --gpus does not say it.")
    ] = None,
    engine: Annotated[str, typer.Option(help=f"One of {', '.join(LAUNCHERS)}.")] = "local",
    gpus_per_worker: Annotated[
        float, typer.Option(help="With ray, where it may be a fraction, and slurm.")
    ] = 0.0,
    cpus_per_worker: Annotated[int, typer.Option(help="With ray and slurm.")] = 1,
    ray_address: Annotated[
        str | None, typer.Option(help="A Ray cluster that runs, such as auto; default a new one.")
    ] = None,
    cluster: Annotated[
        str, typer.Option(help="Of submitit: slurm, or local to try it on this machine.")
    ] = "slurm",
    partition: Annotated[str | None, typer.Option(help="Of Slurm.")] = None,
    minutes: Annotated[int, typer.Option(help="That a Slurm job runs, then requeued.")] = 240,
    slurm_option: Annotated[
        list[str] | None, typer.Option(help="More for Slurm: account=vision; repeatable.")
    ] = None,
    restarts: Annotated[int, typer.Option(help="Of a worker that dies, in a row.")] = 5,
    finalize: Annotated[bool, typer.Option(help="Make the last test at the end.")] = True,
    data: Data = None,
    data_root: DataRoot = None,
    image_root: ImageRoot = None,
    download: Download = False,
    weights: Weights = None,
    model: Model = None,
    output: Output = None,
    trust_paths: TrustPaths = False,
    device: Device = None,
    threads: Threads = None,
    wait: Wait = False,
    allow_different: AllowDifferent = False,
    lease_seconds: LeaseSeconds = LEASE_SECONDS,
    patience_seconds: Annotated[
        float,
        typer.Option(help="That the database may be away; a worker waits at its start, too."),
    ] = PATIENCE_SECONDS,
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
    one_of("engine", engine, tuple(LAUNCHERS))
    one_of("cluster", cluster, _CLUSTERS)
    of_slurm = assignments("slurm-option", slurm_option)
    checked_seconds(lease_seconds, patience_seconds)
    opened = load_study(storage, study, patience_seconds=patience_seconds)
    stored = Settings.from_study(opened)
    if (order := order_of(opened)).halts and (order.ends or not wait):
        console.print(f"study {study!r} is told to {order.value}; go on with `resume --no-work`")
        raise typer.Exit(HALTED)
    settings = settings_here(
        opened,
        stored,
        trust_paths=trust_paths,
        data=data,
        data_root=data_root,
        image_root=image_root,
        weights=weights,
        model=model,
        output=output,
        device=device,
        threads=threads,
    )
    from optuna_layerwise.data.data_sources import takes
    from optuna_layerwise.experiments.joining import refuse_differences

    refuse_differences(study, settings, stored)
    if image_root and not takes(settings.data, "image_root"):
        raise ValueError(f"image_root must be left out: {settings.data!r} is no table of images")
    folder = Path(settings.output or ".").absolute() / "workers"
    check_folder(folder, "--output")
    worker = Worker(
        study=study,
        storage=absolute_url(storage),
        data=settings.data,  # as chosen here: other machines are told
        data_root=settings.data_root,
        image_root=list(settings.image_root) or None,
        download=download,
        weights=settings.weights,
        model=settings.model,
        output=settings.output or None,
        device=device,
        threads=threads,
        wait=wait,
        allow_different=allow_different,
        lease_seconds=lease_seconds,
        patience_seconds=patience_seconds,
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
        with study_progress(console, opened) as on_poll:
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
        where = study_options(storage, study)
        if (final := stored_final(opened)) is not None:
            show.show(console, *show.result(opened, final, settings))
            show.show(console, *show.after_the_choice(opened, final, where, storage))
        else:
            show.show(console, *show.how_to_finalize(opened, where, storage))
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
