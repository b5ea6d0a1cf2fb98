"""The command ``finalize``: what a search hands over, chosen by held-out images and tested."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, get_args

from optuna_layerwise.cli import show
from optuna_layerwise.cli.here import Here
from optuna_layerwise.cli.options import (
    DEFAULT_STORAGE,
    LeaseSeconds,
    Storage,
    StudyName,
    load_study,
    options_of,
    takes,
    told,
)
from optuna_layerwise.cli.worker import checked_seconds
from optuna_layerwise.experiments.settings import SETTINGS_KEY, Settings
from optuna_layerwise.io.plain import one_of
from optuna_layerwise.records.final import Deliver, stored_final
from optuna_layerwise.storage import LEASE_SECONDS


@takes(options_of(Here))
def finalize_command(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    again: Annotated[
        bool,
        told(
            "Result",
            "Choose among all trials that there are now, and open the test split once more.",
            "--again",
        ),
    ] = False,
    finalists: Annotated[
        int | None,
        told(
            "Result", "Number of best policies that are trained again. Default: as stored.", min=1
        ),
    ] = None,
    final_seeds: Annotated[
        int | None,
        told("Result", "Number of trainings of each finalist. Default: as stored.", min=1),
    ] = None,
    deliver: Annotated[
        str | None,
        told("Result", "What is handed over: one, team or auto. Default: as stored."),
    ] = None,
    lease_seconds: LeaseSeconds = LEASE_SECONDS,
    **typed: Any,
) -> None:
    """Train the best trials of a study again, choose by held-out images, and test.

    The study may have any number of trials. Its test split is opened once: if there is a result
    already, it is printed. With --again the command chooses anew and opens the split once more;
    former results are kept, and the new one is shown as no longer untouched.
    """
    checked_seconds(lease_seconds, None)
    here, opened = Here(**typed), load_study(storage, study)
    if SETTINGS_KEY not in opened.user_attrs:
        raise ValueError(
            f"study {study!r} was not created by `optuna-layerwise tune`, so its data and model "
            "are not known here; finalize it in Python: objective.finalize(study)"
        )
    stored = Settings.from_study(opened)
    if (final := stored_final(opened)) is not None and not again:
        show.show(*show.result(opened, final, stored))
        show.show(*show.after_the_choice(opened, final, storage, always=True))
        return
    from optuna_layerwise.cli.beginning import introduce
    from optuna_layerwise.cli.searching import conclude  # with torch

    search = here.search(opened, stored, storage)
    settings = search.settings
    if finalists is not None:
        settings = dataclasses.replace(settings, finalists=finalists)
    if final_seeds is not None:
        settings = dataclasses.replace(settings, final_seeds=final_seeds, retrain=True)
    if deliver is not None:
        chosen = one_of("--deliver", deliver, get_args(Deliver))
        settings = dataclasses.replace(settings, deliver=chosen)
    if again or finalists is not None or final_seeds is not None:
        settings = dataclasses.replace(settings, budget=None)  # what is said now counts
    search = dataclasses.replace(search, settings=settings)
    introduce(search)
    conclude(
        search,
        again=again,
        lease_seconds=lease_seconds,
        go_on="finalize --again" if again else "finalize",
    )
    show.show(*show.commands(opened, storage))
