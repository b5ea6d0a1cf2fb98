"""Class names as people write them: those that look alike, and those that stand for no label."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

MISSING = ("", "nan", "<na>", "nat", "#n/a")
"""Cells without a value, in lower case, as programs write them."""
PERHAPS_MISSING = ("na", "n/a", "none", "null", "nil", "?", "-")
"""Cells that may be a name or stand for no value, in lower case."""
_HYPHENS = {0x2010: "-", 0x2011: "-"}


def alike(names: Iterable[str]) -> list[list[str]]:
    """The names that differ in writing only, together.

    That is in case, Unicode form (NFC, NFD), blanks, characters without a width, hyphens that
    do not break a line, or how a number is written.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(_plain(name), []).append(name)
    return [together for together in found.values() if len(together) > 1]


def said(names: Iterable[str]) -> str:
    """Names side by side, so that also those that print alike can be told apart."""
    written = " and ".join(ascii(name) for name in names)
    return re.sub(" {2,}", lambda run: r"\x20" * len(run[0]), written)


def _plain(name: str) -> str:
    seen = "".join(c for c in name if unicodedata.category(c) != "Cf").translate(_HYPHENS)
    composed = " ".join(unicodedata.normalize("NFC", seen).split())
    try:
        return str(float(composed))
    except ValueError:
        return unicodedata.normalize("NFC", composed.casefold())
