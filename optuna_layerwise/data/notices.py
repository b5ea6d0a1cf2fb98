"""The one way in which data code warns: what it says is also kept, for the study to store."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_KEPT: ContextVar[list[str] | None] = ContextVar("kept", default=None)


def notice(text: str, *, stacklevel: int = 3) -> None:
    """Warn, and keep the text if `kept_notices` is in force; what it has is not said again.

    Args:
        text: What a reader of results must know about the data.
        stacklevel: As of ``warnings.warn``.
    """
    kept = _KEPT.get()
    if kept is not None and text in kept:
        return
    if kept is not None:
        kept.append(text)
    warnings.warn(text, stacklevel=stacklevel)


@contextmanager
def kept_notices() -> Iterator[list[str]]:
    """Yields the list of what `notice` says meanwhile."""
    kept: list[str] = []
    token = _KEPT.set(kept)
    try:
        yield kept
    finally:
        _KEPT.reset(token)
