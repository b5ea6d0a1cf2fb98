"""What several commands take, and what they make of it."""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from optuna_layerwise.cli.terminal import STORAGE_VARIABLE as STORAGE_VARIABLE
from optuna_layerwise.cli.terminal import Terminal
from optuna_layerwise.data.names import DATA_NAMES
from optuna_layerwise.io.texts import file_name

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage

    from optuna_layerwise.storage import SQLiteFile

T = TypeVar("T", bound=str)
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
        open_pictured,
        open_storage,
        open_to_read,
        picture_of,
    )

    patience = PATIENCE_SECONDS if patience_seconds is None else patience_seconds
    if read_only and whole:
        source = open_to_read(storage, patience_seconds=patience, wait=wait)
        _check_named(source, storage, name, option)
        return open_pictured(picture_of(source, [name]), name)
    opened = open_storage(
        storage, create=False, patience_seconds=patience, wait=wait, read_only=read_only
    )
    _check_named(opened, storage, name, option)
    if whole:
        open_pictured(picture_of(opened, [name]), name)  # or say why it cannot be read
    study = optuna.load_study(study_name=name, storage=opened)
    if not read_only:
        check_writable(study)
    return study


def _check_named(opened: BaseStorage | SQLiteFile, storage: str, name: str, option: str) -> None:
    """Refuse the name of a study that is not there, and say which are."""
    from optuna_layerwise.storage import study_names, without_secrets

    names = study_names(opened)
    if name not in names:
        shown = without_secrets(storage)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        listed = f"{names[:_SHOWN]}" + (" and more" if names[_SHOWN:] else "")
        there = f"there are {listed if names else 'none'}"
        raise ValueError(f"{option}no study {name!r} in {shown}; {hint}{there}")


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


def one_of(option: str, value: str, choices: Sequence[T]) -> T:
    """The one of a few choices that a value names."""
    for choice in choices:
        if choice == value:
            return choice
    raise ValueError(f"--{option} must be one of {', '.join(choices)}, got {value!r}")


def format_of(
    option: str, path: Path, formats: Mapping[T, Sequence[str]], given: str | None = None
) -> T:
    """The format of a file to write: what its suffix says, or is ``given``, or else the first.

    Args:
        option: The option that names the file, without its dashes.
        path: Where the file is to be written.
        formats: Each with its suffixes.
        given: The option ``--format``.

    Raises:
        ValueError: for another suffix, or one that says another format than is given.
    """
    if given is not None:
        chosen = one_of("format", given, tuple(formats))
        formats = {chosen: formats[chosen]}
    suffix = path.suffix.lower()
    for name, suffixes in formats.items():
        if not suffix or suffix in suffixes:
            return name
    known = " or ".join(suffix for suffixes in formats.values() for suffix in suffixes)
    said = f" with --format {given}" if given else ""
    raise ValueError(f"--{option} must end with {known}{said}, got {str(path)!r}")


def channels(
    option: str, text: str | None, default: tuple[float, float, float]
) -> tuple[float, float, float]:
    """One number for all channels, or three with commas."""
    if text is None:
        return default
    try:
        values = [float(part) for part in text.split(",")]
        red, green, blue = values * 3 if len(values) == 1 else values
    except ValueError as error:
        raise ValueError(
            f"--{option} must be one number or three with commas, got {text!r}"
        ) from error
    return red, green, blue


def assignments(option: str, texts: Iterable[str] | None) -> dict[str, Any]:
    """The pairs that a repeatable option was given as ``name=value``."""
    return dict(assignment(f"--{option}", text) for text in texts or ())


def assignment(what: str, text: str) -> tuple[str, Any]:
    """A pair ``name=value``; the value is JSON where it can be, else text."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ValueError(f"{what} must be name=value, got {text!r}")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value
