"""What several commands take, and what they make of it."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optuna_layerwise.cli.terminal import STORAGE_VARIABLE as STORAGE_VARIABLE
from optuna_layerwise.cli.terminal import Terminal
from optuna_layerwise.data.names import DATA_NAMES
from optuna_layerwise.texts import file_name

if TYPE_CHECKING:
    import optuna

_SHOWN = 10
console = Terminal()
"""Where commands print."""

Storage = Annotated[
    str, typer.Option(help="URL of the study's database.", envvar=STORAGE_VARIABLE)
]
StudyName = Annotated[str, typer.Option(help="Name of the study.")]
DEFAULT_STORAGE = "sqlite:///optuna-layerwise.db"


def load_study(
    storage: str,
    name: str,
    *,
    patience_seconds: float | None = None,
    wait: bool = False,
    read_only: bool = False,
    whole: bool = True,
    option: str = "",
) -> optuna.Study:
    """A study that exists, or with ``read_only`` a picture of it; see `open_storage`.

    With ``whole=False`` it need not be readable: for who repairs it, or gives it an order. A
    message begins with the ``option`` that names the study, where it is not ``--study``.

    Raises:
        ConnectionError: if it is to be written, and cannot be.
        ValueError: if it does not, and the message has those that do; or if it cannot be read.
    """
    import optuna

    from optuna_layerwise.storage import (
        PATIENCE_SECONDS,
        check_writable,
        open_storage,
        without_secrets,
    )

    patience = PATIENCE_SECONDS if patience_seconds is None else patience_seconds
    opened = open_storage(
        storage, create=False, patience_seconds=patience, wait=wait, read_only=read_only
    )
    from optuna_layerwise.storage import open_pictured, picture_of, study_names  # with SQLAlchemy

    names = study_names(opened)
    if name not in names:
        shown = without_secrets(storage)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        listed = f"{names[:_SHOWN]}" + (" and more" if names[_SHOWN:] else "")
        there = f"there are {listed if names else 'none'}"
        raise ValueError(f"{option}no study {name!r} in {shown}; {hint}{there}")
    if whole:
        pictured = open_pictured(picture_of(opened, [name]), name)  # or say why it cannot be read
        if read_only:
            return pictured
    study = optuna.load_study(study_name=name, storage=opened)
    if not read_only:
        check_writable(study)
    return study


def say_refused(refused: Mapping[str, str]) -> None:
    """Name the studies that were left out, on standard error.

    Raises:
        typer.Exit: if there are any; so it comes last.
    """
    for name, reason in refused.items():
        print(f"error: study {name!r} was left out: {reason}; `doctor` says more", file=sys.stderr)
    if refused:
        raise typer.Exit(1)


def default_output(name: str) -> str:
    """The folder of a study's files, below the present one whatever the study is called."""
    return os.path.abspath(os.path.join("optuna-layerwise-runs", file_name(name)))


def absolute(place: str | None) -> str | None:
    """An absolute path, if it is one that exists or looks like one; names stay."""
    if place is None or place in DATA_NAMES or not place.strip() or "://" in place:
        return place
    path = Path(place)
    return str(path.absolute()) if path.exists() or path.suffix or os.sep in place else place


def absolute_folder(place: str) -> str:
    """An absolute path of a folder, also of one that is not there."""
    return os.path.abspath(os.path.expanduser(place))
