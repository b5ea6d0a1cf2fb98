"""Option values that need more than a type."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T", bound=str)


def one_of(option: str, value: str, choices: Sequence[T]) -> T:
    """The one of a few choices that a value names."""
    for choice in choices:
        if choice == value:
            return choice
    raise ValueError(f"--{option} must be one of {', '.join(choices)}, got {value!r}")


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


def parse_assignment(text: str) -> tuple[str, Any]:
    """A pair ``name=value``; the value is JSON where it can be, else text."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ValueError(f"expected name=value, such as width_mult=0.35, got {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
