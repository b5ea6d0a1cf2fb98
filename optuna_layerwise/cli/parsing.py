"""Option values that need more than a type."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T", bound=str)
MANY = 1_000_000
"""More than anybody means, of trials, epochs, seeds, workers or minutes."""


def one_of(option: str, value: str, choices: Sequence[T]) -> T:
    """The one of a few choices that a value names."""
    for choice in choices:
        if choice == value:
            return choice
    raise ValueError(f"--{option} must be one of {', '.join(choices)}, got {value!r}")


def within(what: str, value: float, least: float, most: float = MANY) -> None:
    """Refuse a number that is out of its range, or none at all."""
    if not value >= least:
        raise ValueError(f"{what} must be at least {least}, got {value}")
    if value > most:
        raise ValueError(f"{what} must be at most {most}, got {str(value)[:40]}")


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
