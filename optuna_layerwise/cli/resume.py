"""The command ``resume``: take a pause or a stop back, work to the target, and finalize."""

from __future__ import annotations

from typing import Annotated, Any

from optuna_layerwise.cli.here import Here
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


@takes(options_of(Here))
def resume_command(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    trials: Annotated[
        int | None, told("Search", "New number of finished trials to reach.")
    ] = None,
    budget: Annotated[
        str | None,
        told("Search", "New budget of search and end together, such as 2h. Default: as stored."),
    ] = None,
    work: Annotated[
        bool, told("Study", "Work on the study; if not, take the pause back for its workers.")
    ] = True,
    finalize: Finalize = True,
    **typed: Any,
) -> None:
    """Continue a study with its stored settings; the data and weights must be the same."""
    from optuna_layerwise.experiments.settings import Settings
    from optuna_layerwise.studies import resume

    here, opened = Here(**typed), load_study(storage, study)
    if not work:
        resume(opened)
        console.print(f"study {study!r} goes on")
        return
    from optuna_layerwise.cli.searching import run  # with torch

    stored = Settings.from_study(opened)
    changes = {
        name: value
        for name, value in {"trials": trials, "budget": budget}.items()
        if value is not None
    }
    run(
        here.settings(opened, stored, **changes),
        stored,
        storage,
        study,
        unpause=True,
        download=here.download,
        finalize=finalize,
        allow_different=here.allow_different,
    )
