"""What several commands take, and what they make of it."""

from __future__ import annotations

import difflib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from optuna_layerwise.cli.terminal import STORAGE_VARIABLE as STORAGE_VARIABLE
from optuna_layerwise.cli.terminal import Terminal
from optuna_layerwise.io.fields import PANELS, Setting
from optuna_layerwise.io.plain import one_of
from optuna_layerwise.io.texts import file_name

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage

    from optuna_layerwise.storage import SQLiteFile

C = TypeVar("C", bound=Callable[..., None])
T = TypeVar("T", bound=str)
_SHOWN = 10
_FEW = 8
DEFAULT_STORAGE = "sqlite:///optuna-layerwise.db"
console = Terminal()
"""Where commands print."""


def told(panel: str, help: str, *names: str, **more: Any) -> Any:
    """An option with its help, under the title of a panel."""
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)


Storage = Annotated[str, told("Study", "URL of the study's database.", envvar=STORAGE_VARIABLE)]
StudyName = Annotated[str, told("Study", "Name of the study.")]
TrustPaths = Annotated[
    bool,
    told(
        "Study",
        "Follow the paths that the database names; remembered for this study and user.",
        "--trust-paths",
    ),
]
AllowDifferent = Annotated[
    bool,
    told(
        "Study",
        "Join with other data, weights, packages or code; each trial keeps what made it.",
        "--allow-different",
    ),
]
Download = Annotated[bool, told("Data", "Download the data if they are missing.")]
Finalize = Annotated[
    bool, told("Result", "Test the result at the end; if not, leave that to `finalize`.")
]
LeaseSeconds = Annotated[
    float,
    told("Machine", "Seconds without a sign of life after which another worker takes over."),
]


def takes(parameters: Iterable[inspect.Parameter]) -> Callable[[C], C]:
    """Give a command options that are declared elsewhere, in the place of its ``**typed``.

    An option that the command declares itself stands for the one of the same name.
    """

    def with_options(command: C) -> C:
        own = [
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for each in inspect.signature(command, eval_str=True).parameters.values()
            if each.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        names = {each.name for each in own}
        every = [*own, *(each for each in parameters if each.name not in names)]
        command.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in every}
        return command

    return with_options


def options_of(kind: type) -> list[inspect.Parameter]:
    """The options that the annotations of a dataclass's fields declare."""
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(kind)
    ]


def option_for(name: str, setting: Setting, words: str | None) -> inspect.Parameter:
    """The option of a setting; ``words`` say its default where other options decide it."""
    value = setting.value if words is None and setting.value not in ((), {}) else None
    said = [setting.help]
    if setting.choices:
        said += [f"One of {', '.join(setting.choices)}."]
    if words is not None:
        said += [f"Default: {words}."]
    typed = f"{setting.option}/--no-{setting.option[2:]}"
    option = told(setting.panel, " ".join(said), typed if setting.kind is bool else setting.option)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=value,
        annotation=Annotated[setting.typed | None if value is None else setting.typed, option],
    )


def group(command: Any) -> None:
    """List the options of a command by panel, unless they are few."""
    if len(command.params) <= _FEW:
        for param in command.params:
            param.rich_help_panel = None
    order = (None, *PANELS)
    command.params.sort(key=lambda param: order.index(getattr(param, "rich_help_panel", None)))


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
        chosen = one_of("--format", given, tuple(formats))
        formats = {chosen: formats[chosen]}
    suffix = path.suffix.lower()
    for name, suffixes in formats.items():
        if not suffix or suffix in suffixes:
            return name
    known = " or ".join(suffix for suffixes in formats.values() for suffix in suffixes)
    said = f" with --format {given}" if given else ""
    raise ValueError(f"--{option} must end with {known}{said}, got {str(path)!r}")
