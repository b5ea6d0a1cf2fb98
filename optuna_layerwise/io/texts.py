"""Text from outside as people may see it, and as a shell takes it."""

from __future__ import annotations

import hashlib
import re
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

    Examples:
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

    Examples:
        >>> print(quoted("a b"), quoted("\x1b'"))
        'a b' $'\x1b\''
    """
    if visible(word) == word:
        return shlex.quote(word)
    inside = word.replace("\\", "\\\\").replace("'", "\\'")  # bash, zsh and ksh read escapes in it
    return f"$'{''.join(c if visible(c) == c else _in_bytes(c) for c in inside)}'"


def _in_bytes(character: str) -> str:
    """A character as the escapes of its bytes, which a shell reads alike in every locale."""
    errors = "surrogateescape" if "\udc80" <= character <= "\udcff" else "surrogatepass"
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", errors))


def brief_value(value: float | None) -> str:
    """An objective's value in a few characters, whatever its size; a dash if there is none.

    Examples:
        >>> print(brief_value(0.98765), brief_value(-1e308))
        0.9877 -1e+308
    """
    if value is None:
        return "-"
    return f"{value:.4f}" if abs(value) < 1e6 else f"{value:.4g}"


def option(name: str, value: str) -> list[str]:
    """An option and its value as words; one word where the value looks like an option."""
    return [f"{name}={value}"] if value.startswith("-") else [name, value]


def command(words: Sequence[str]) -> str:
    """A command to paste into a shell."""
    return " ".join(map(quoted, words))


def file_name(text: str) -> str:
    """A name for a file or folder: the text itself, if every system takes it as one.

    Otherwise what is readable of it, and a digest, so that no two texts have one name.

    Examples:
        >>> file_name("leaves-2"), file_name("../leaves")
        ('leaves-2', 'leaves-17e9041c')
    """
    plain = re.fullmatch(r"[\w+=@-]([\w +=@.-]*[\w+=@-])?", text) and visible(text) == text
    if plain and len(text.encode()) <= _LONGEST and not _RESERVED.match(text):
        return text
    return f"{readable(text)}-{hashlib.sha256(_bytes(text)).hexdigest()[:8]}"


def readable(text: str) -> str:
    """Letters of English, digits and dashes that a text has, at most 40; never empty."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:40] or "study"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


_LONGEST = 100
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
"""Names that Windows has given to devices."""
