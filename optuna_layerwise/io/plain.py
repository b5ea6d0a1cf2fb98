"""What comes from outside, as plain data, within limits.

NumPy's numbers and arrays become Python's: JSON, which everything stored is, knows no others. JSON
that somebody else wrote is read up to a depth that all of Python can work with. Called where a
value enters, once.
"""

from __future__ import annotations

import difflib
import json
import os
import reprlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T", bound=str)
YAML = (".yaml", ".yml")
MANY = 1_000_000
"""More than anybody means, of trials, epochs, seeds, workers or minutes."""
DEEPEST = 100
"""Levels of nesting that are read; Python stops at some hundreds, in one place or another."""
TOO_DEEP = f"it is nested more than {DEEPEST} levels deep"
UNREADABLE = (
    *(ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, AssertionError, RecursionError),
)
"""What reading raises, in Optuna too, where something else is stored than was expected."""


def plain(value: Any) -> Any:
    """A NumPy number, text or array as Python's; so for what is in lists, tuples and mappings.

    Examples:
        >>> import numpy as np
        >>> plain({"k": np.int64(3), "rates": np.array([0.5, 1.0]), "on": [np.bool_(True)]})
        {'k': 3, 'rates': [0.5, 1.0], 'on': [True]}
    """
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return {plain(name): plain(each) for name, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    return value


def decoded(text: object) -> Any:
    """What JSON says, if it is any, and one that can be worked with.

    Raises:
        ValueError: if not.
    """
    if not isinstance(text, str):
        raise ValueError(f"it is no JSON: {shortened(text)}")
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    except ValueError:
        raise ValueError(f"it is no JSON: {shortened(text)}") from None
    if is_too_deep(text, content):
        raise ValueError(TOO_DEEP)
    return content


def is_too_deep(text: str, content: object) -> bool:
    """Whether the content of a JSON text is nested more than `DEEPEST` levels deep."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return False
    level = [content]
    for _ in range(DEEPEST + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def shortened(value: object) -> str:
    """A value in a message: its beginning, where it is long, and not what is deep inside."""
    text = repr(value[:100]) if isinstance(value, str | bytes) else reprlib.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def object_in(text: str, expected: str) -> dict[str, Any]:
    """The JSON object that a text is.

    Args:
        text: From wherever.
        expected: What a message says that it should be.

    Raises:
        ValueError: if it is none.
    """
    try:
        content = decoded(text)
    except ValueError as error:
        raise ValueError(f"{expected}, but {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{expected}, got {text[:80]!r}")
    return content


def read_object(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object that a JSON or YAML file holds.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it holds no object.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        if Path(path).suffix.lower() in YAML:
            import yaml  # Optuna depends on it

            content = yaml.safe_load(text)
        else:
            content = decoded(text)
    except OSError:
        raise
    except RecursionError:
        raise ValueError(f"{path} cannot be read: {TOO_DEEP}") from None
    except Exception as error:  # of either library, or it is no text
        raise ValueError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold names and values, got {text[:80]!r}")
    return content


def within(what: str, value: float, least: float, most: float = MANY) -> None:
    """Refuse a number that is out of its range, or none at all.

    Raises:
        ValueError: it says which number, and the range.
    """
    if not value >= least:
        raise ValueError(f"{what} must be at least {least}, got {value}")
    if value > most:
        raise ValueError(f"{what} must be at most {most}, got {str(value)[:40]}")


def there_and_here(differences: Mapping[str, tuple[Any, Any]], *, most: int = 60) -> str:
    """What differs between something stored and this process, for a message.

    Args:
        differences: Name to the value of this process and the stored one.
        most: Characters of a value that are shown.
    """

    def cut(value: Any) -> str:
        try:
            text = " ".join(str(value).split())
        except RecursionError:
            text = f"a {type(value).__name__} that is nested deeply"
        return text if len(text) <= most else text[: most - 3] + "..."

    return "; ".join(
        f"{name} is {cut(theirs)} there and {cut(ours)} here"
        for name, (ours, theirs) in differences.items()
    )


def one_of(what: str, value: str, choices: Collection[T]) -> T:
    """The one of a few names that a value is.

    Raises:
        ValueError: if it is none; the message has all of them, and the nearest.
    """
    for choice in choices:
        if choice == value:
            return choice
    near = difflib.get_close_matches(str(value), choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{what} must be one of {', '.join(choices)}, got {value!r}{hint}")
