"""The commands ``pause`` and ``stop``: orders to all workers of a study."""

from __future__ import annotations

from typing import Annotated

import typer

from optuna_layerwise.cli.options import DEFAULT_STORAGE, Storage, StudyName, console, load_study
from optuna_layerwise.cli.terminal import study_options

Now = Annotated[
    bool,
    typer.Option(
        "--now",
        help="Give running trials back at their next step instead of waiting for their end.",
    ),
]


def pause_command(study: StudyName, storage: Storage = DEFAULT_STORAGE, now: Now = False) -> None:
    """Ask all workers of a study, on any machine, to stop after their running trials."""
    from optuna_layerwise.studies import pause

    pause(load_study(storage, study, whole=False), now=now)
    console.print(
        f"study {study!r} pauses{_when(now)}; go on with\n  {_resume(storage, study)}",
        soft_wrap=True,
    )


def stop_command(study: StudyName, storage: Storage = DEFAULT_STORAGE, now: Now = False) -> None:
    """End a study's workers after their running trials; nothing starts again until `resume`."""
    from optuna_layerwise.studies import stop

    stop(load_study(storage, study, whole=False), now=now)
    console.print(
        f"study {study!r} stops{_when(now)}; take it back with\n  {_resume(storage, study)}",
        soft_wrap=True,
    )


def _resume(storage: str, study: str) -> str:
    return f"optuna-layerwise resume {study_options(storage, study)}"


def _when(now: bool) -> str:
    return " at the next step of its trials" if now else " after its running trials"
