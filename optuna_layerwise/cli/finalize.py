"""The command ``finalize``: retrain the best trials of a study, and test one of them."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from optuna_layerwise.cli import show
from optuna_layerwise.cli.options import DEFAULT_STORAGE, Storage, StudyName, console, load_study
from optuna_layerwise.cli.resume import (
    AllowDifferent,
    Data,
    DataRoot,
    Device,
    Download,
    ImageRoot,
    Model,
    Threads,
    Weights,
    settings_here,
)
from optuna_layerwise.cli.stored_paths import TrustPaths
from optuna_layerwise.cli.terminal import study_options
from optuna_layerwise.cli.worker import LeaseSeconds, checked_seconds
from optuna_layerwise.experiments.settings import SETTINGS_KEY, Settings
from optuna_layerwise.records.final import stored_final
from optuna_layerwise.storage import LEASE_SECONDS


def finalize_command(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Choose among all trials of now, and open the test split once more.",
        ),
    ] = False,
    finalists: Annotated[
        int | None, typer.Option(min=1, help="Policies to retrain; default as stored.")
    ] = None,
    final_seeds: Annotated[
        int | None, typer.Option(min=1, help="Trainings of each of them; default as stored.")
    ] = None,
    data: Data = None,
    data_root: DataRoot = None,
    image_root: ImageRoot = None,
    download: Download = False,
    weights: Weights = None,
    model: Model = None,
    output: Annotated[
        str | None, typer.Option(help="Folder for the best weights; default as stored.")
    ] = None,
    trust_paths: TrustPaths = False,
    device: Device = None,
    threads: Threads = None,
    allow_different: AllowDifferent = False,
    lease_seconds: LeaseSeconds = LEASE_SECONDS,
) -> None:
    """Retrain the best trials of a study, choose one by validation, and test it.

    The study may have any number of trials. Its test split is opened once: if there is a result
    already, it is printed. With --again the command chooses anew and opens the split once more;
    former results are kept, and the new one is shown as no longer untouched.
    """
    checked_seconds(lease_seconds, None)
    opened = load_study(storage, study)
    if SETTINGS_KEY not in opened.user_attrs:
        raise ValueError(
            f"study {study!r} was not created by `optuna-layerwise tune`, so its data and model "
            "are not known here; finalize it in Python: objective.finalize(study)"
        )
    stored, where = Settings.from_study(opened), study_options(storage, study)
    if (final := stored_final(opened)) is not None and not again:
        show.show(console, *show.result(opened, final, stored))
        show.show(console, *show.after_the_choice(opened, final, where, storage, always=True))
        return
    from optuna_layerwise.cli.searching import conclude, introduce, open_search  # with torch

    here = settings_here(
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
    search = open_search(
        console,
        here,
        stored,
        storage,
        study,
        download=download,
        allow_different=allow_different,
    )
    settings = search.settings
    if finalists is not None:
        settings = dataclasses.replace(settings, finalists=finalists)
    if final_seeds is not None:
        settings = dataclasses.replace(settings, final_seeds=final_seeds, retrain=True)
    search = dataclasses.replace(search, settings=settings)
    introduce(console, search)
    conclude(
        console,
        search,
        storage,
        again=again,
        lease_seconds=lease_seconds,
        go_on="finalize --again" if again else "finalize",
    )
    show.show(console, *show.commands(where, storage))
