"""What commands print: names as they are, nothing that a terminal obeys, and no passwords."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from optuna_layerwise.io.texts import command, option, quoted, visible
from optuna_layerwise.storage.urls import has_secrets, scrubbed, without_secrets

STORAGE_VARIABLE = "OPTUNA_LAYERWISE_STORAGE"


def shown(text: str) -> str:
    """Text of several lines as people may see it."""
    for url in _urls():
        text = scrubbed(text.replace(url, without_secrets(url)), url)
    return visible(text, lines=True)


class Terminal(Console):
    """Prints text as it is: brackets and colons are no markup; styles come with `Text`."""

    def __init__(self) -> None:
        super().__init__(markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Text that was given as a string, in a table as well."""
        return super().render_str(shown(text), **options)

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        """Everything else, after it was laid out."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(shown(segment.text), segment.style)


class _Errors:
    """A stream for errors, warnings and log lines, whoever writes them.

    It says that it is no terminal, so that nobody writes colours to it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        bar = "\r" if text.startswith("\r") else ""  # of a download: it writes over its line
        self._stream.write(bar + shown(text[len(bar) :]))
        return len(text)

    def isatty(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def safe_errors() -> Iterator[None]:
    """Inside, what is written to ``sys.stderr`` is `shown`."""
    before = sys.stderr
    sys.stderr = _Errors(before)
    try:
        yield
    finally:
        sys.stderr = before


def study_options(storage: str, study: str) -> str:
    """The options of a command for a study, to paste into a shell."""
    return f"{storage_option(storage)} {command(option('--study', study))}"


def storage_option(storage: str) -> str:
    """The option of a command for a database; a URL with a password is not written out."""
    if not has_secrets(storage):
        return command(option("--storage", storage))
    if os.environ.get(STORAGE_VARIABLE) == storage:
        return f'--storage "${STORAGE_VARIABLE}"'
    return f"--storage {quoted(without_secrets(storage))}"


def about_secrets(storage: str) -> list[str]:
    """A line to print after commands that lack a password."""
    if storage_option(storage).endswith(f'"${STORAGE_VARIABLE}"') or not has_secrets(storage):
        return []
    return [f"Put the password back for ***, or set {STORAGE_VARIABLE} and leave --storage out."]


def _urls(words: Sequence[str] | None = None) -> list[str]:
    """The storages that this process was told."""
    words = sys.argv if words is None else words
    told = [os.environ.get(STORAGE_VARIABLE, "")]
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--storage":
            told.append(following)
        told.append(word.removeprefix("--storage=") if word.startswith("--storage=") else "")
    return [url for url in told if url and has_secrets(url)]
