"""Option values that need more than a type."""

from __future__ import annotations

import json
from typing import Any


def one_of(option: str, value: str, choices: tuple[str, ...]) -> str:
    """A value that must be one of a few."""
    if value not in choices:
        raise ValueError(f"--{option} must be one of {', '.join(choices)}, got {value!r}")
    return value


def channels(
    option: str, text: str | None, default: tuple[float, float, float]
) -> tuple[float, ...]:
    """One number for all channels, or three with commas."""
    if text is None:
        return default
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in (1, 3):
        raise ValueError(f"--{option} must be one number or three with commas, got {text!r}")
    return values * 3 if len(values) == 1 else values


def parse_assignment(text: str) -> tuple[str, Any]:
    """A pair ``name=value``; the value is JSON where it can be, else text."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ValueError(f"expected name=value, such as width_mult=0.35, got {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
