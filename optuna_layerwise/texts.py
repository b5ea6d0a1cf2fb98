"""Text from outside as people may see it, and as a shell takes it."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Sequence


def visible(text: object, *, lines: bool = False) -> str:
    r"""Text in which everything that a terminal or a browser would obey is an escape to read.

    These are control characters, marks that change the direction of what follows, line and
    paragraph separators, and halves of surrogate pairs.

    Args:
        text: From wherever.
        lines: Keep the ends of lines.

    Example:
        >>> print(visible("\x1b[2J name\n"))
        \x1b[2J name\n
    """
    return "".join(
        c
        if c.isprintable() or unicodedata.category(c) == "Zs" or (lines and c == "\n")
        else _escape(c)
        for c in str(text)
    )


def _escape(character: str) -> str:
    code = ord(character)
    if character in "\n\r\t":
        return repr(character)[1:-1]
    return (
        f"\\x{code:02x}"
        if code < 0x80
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )


def quoted(word: str) -> str:
    r"""A word as it can be pasted into a shell, whatever is in it.

    Example:
        >>> print(quoted("a b"), quoted("\x1b'"))
        'a b' $'\x1b\''
    """
    if visible(word) == word:
        return shlex.quote(word)
    inside = word.replace("\\", "\\\\").replace("'", "\\'")  # bash, zsh and ksh read escapes in it
    return f"$'{visible(inside)}'"


def option(name: str, value: str) -> list[str]:
    """An option and its value as words; one word where the value looks like an option."""
    return [f"{name}={value}"] if value.startswith("-") else [name, value]


def command(words: Sequence[str]) -> str:
    """A command to paste into a shell."""
    return " ".join(map(quoted, words))
