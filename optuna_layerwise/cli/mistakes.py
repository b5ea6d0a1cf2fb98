"""Errors as one line that a user can act on, which names options as they are typed."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from optuna_layerwise.io.texts import visible

_ALONE = {"and", "or"}
_ELSEWHERE = {"root": "data_root"}
"""Names of arguments elsewhere in the package to those of the commands' parameters."""
_BEGINNING = re.compile(r"unknown (\w+) |(\w+)(?:=| of )|([a-z]+_[a-z_]+)[ :]")
_SUBJECT = re.compile(r"[a-z_]+(?:(?:,|,? and|,? or) [a-z_]+)*")
_LIMIT = re.compile(r"^( must be (?:at least|at most|less than|above) )([a-z]+_[a-z_]+)")
_WITH_OPTION = re.compile(r"(?<![\w'\"/\\.-])([a-z]+_[a-z_]+)(?:=\w+)? \((--[\w-]+(?: none)?)\)")
_NAME = re.compile(r"(?<![\w'\"/\\.-])[a-z][a-z_]*[a-z](?![\w'\"/-]|\.\w)")


def is_mistake(error: Exception) -> bool:
    """Whether the message is all that the user needs."""
    if isinstance(error, ValueError | OSError | RecursionError) or _is_of_database(error):
        return True
    from optuna_layerwise.studies import StudyDeletedError

    return isinstance(error, StudyDeletedError)


def one_line(said: Exception | str) -> str:
    """An error, or a warning, for people."""
    if isinstance(said, RecursionError):  # JSON of the database, in code that is not ours
        said = (
            "the database has something that is nested too deeply; "
            "`optuna-layerwise doctor` says where"
        )
    elif isinstance(said, json.JSONDecodeError):
        said = (
            f"the database has something that is no JSON ({said.doc[:40]!r}); "
            "`optuna-layerwise doctor` says where, and --repair removes it"
        )
    elif isinstance(said, OSError) and said.strerror:  # without the number of the error
        said = f"{said.strerror}: {said.filename}" if said.filename else said.strerror
    elif isinstance(said, Exception) and _is_of_database(said):
        said = f"the database does not do what was asked: {said.__cause__ or said}"
        said = said.strip().splitlines()[0]
    return " ".join(visible(said, lines=True).split())


def usage(error: Any) -> str:
    """An error of Typer about the words of a command, as one line that points to the help."""
    said = " ".join(error.format_message().split()).rstrip(".")
    if not said or (context := getattr(error, "ctx", None)) is None:
        return said
    return f"{said[0].lower()}{said[1:]}; `{context.command_path} --help` lists what there is"


def as_typed(said: str, command: Any, words: Sequence[str]) -> str:
    """A message in which arguments of Python are the options that set them.

    A message names arguments where it begins: all before "must", a name before "=" or "of", or
    after "unknown", and any with an underscore, which may be a limit behind "must be at least",
    too. Further on it names one with its option behind it, and then the option is all that is
    left. Other words stay as they are, since they may be the user's: parts of a path, say.

    Args:
        said: The message, of any part of the package.
        command: The command that was typed, as Typer made it.
        words: What was typed after the command.

    Examples:
        >>> import typer
        >>> app = typer.Typer()
        >>> @app.command()
        ... def tune(n_folds: int = typer.Option(1, "--folds"), lr: float = 1.0) -> None: ...
        >>> command = typer.main.get_command(app)
        >>> as_typed("n_folds must be less than lr, got 7", command, ["--folds", "7"])
        '--folds must be less than lr, got 7'
        >>> as_typed("rank must be whole, got 0.5", command, ["--method", "rank=0.5"])
        '--method rank must be whole, got 0.5'
    """
    options = _options(command)
    names = {**_assigned(words), **options}
    subject = said.partition(" must ")[0]
    match = _BEGINNING.match(said)
    if any(" " in first and said.startswith(first) for first in _first_folders(words)):
        end = 0  # it begins with a path
    elif _SUBJECT.fullmatch(subject) and {*_NAME.findall(subject)} <= {*names, *_ALONE}:
        end = len(subject)
    else:
        end = match.end(match.lastindex) if match and match.lastindex else 0
    beginning = _NAME.sub(lambda found: names.get(found[0], found[0]), said[:end])
    rest = _LIMIT.sub(lambda found: found[1] + options.get(found[2], found[2]), said[end:])
    return beginning + _WITH_OPTION.sub(
        lambda found: found[2] if options.get(found[1]) == found[2].split()[0] else found[0], rest
    )


def _options(command: Any) -> dict[str, str]:
    """A parameter's name to its longest option, and so the other names of `_ELSEWHERE`."""
    found = {
        param.name: max(param.opts, key=len)
        for param in command.params
        if param.opts[0].startswith("-")
    }
    return {**found, **{other: found[name] for other, name in _ELSEWHERE.items() if name in found}}


def _assigned(words: Sequence[str]) -> dict[str, str]:
    """Name to the option in front of it, of what was typed as ``--option name=value``."""
    return {
        name: f"{option} {name}"
        for option, text in _given(words)
        for name, is_assigned, _ in [text.partition("=")]
        if is_assigned
    }


def _first_folders(words: Sequence[str]) -> Iterator[str]:
    """The first folder of each path that may have been typed, also behind ``option=name=``."""
    for word in words:
        parts = word.split("=")
        for start in range(len(parts)):
            yield " ".join(re.split(r"[/\\]", "=".join(parts[start:]))[0].split())


def _given(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    for word, following in zip(words, [*words[1:], ""], strict=False):
        option, has_value, value = word.partition("=")
        if option[:2] == "--":
            yield option, value if has_value else following


def _is_of_database(error: Exception | str) -> bool:
    from optuna.exceptions import StorageInternalError

    if isinstance(error, StorageInternalError):
        return True
    return any(
        module in sys.modules and isinstance(error, getattr(sys.modules[module], name))
        for module, name in (("sqlalchemy.exc", "SQLAlchemyError"), ("sqlite3", "Error"))
    )  # what was never imported has raised nothing
