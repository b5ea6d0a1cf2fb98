"""Waiting for a storage that does not answer: said once, with back-off, up to a stated time."""

from __future__ import annotations

import contextlib
import errno
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from optuna.exceptions import StorageInternalError

PATIENCE_SECONDS = 300.0
"""How long a storage may be away before its worker gives up."""
_QUIET_SECONDS = 0.5
_LONGEST_PAUSE = 5.0

# What goes away by itself: classes of PostgreSQL's states (connection, resources, operator,
# rolled back, locked), numbers of MySQL's errors (the same), and texts of SQLite's.
_STATES = ("08", "53", "57P", "40", "55P03")
_NUMBERS = {0, 1040, 1053, 1205, 1213, 1927, 2002, 2003, 2006, 2013, 2014, 2055}
_TEXTS = ("is locked", "is full", "unable to open database file", "disk i/o error")
# What a server says while it refuses a connection for good.
_REFUSALS = ("authentication failed", "does not exist", "no pg_hba.conf entry", "access denied")

_logger = logging.getLogger(__name__)
_here = threading.local()
_T = TypeVar("_T")


class StorageUnusableError(ConnectionError):
    """The storage did not answer for as long as the worker was told to wait, or never will."""


@contextlib.contextmanager
def without_waiting() -> Iterator[None]:
    """In this thread, one try is enough."""
    _here.impatient = True
    try:
        yield
    finally:
        _here.impatient = False


def persist(operation: Callable[[bool], _T], *, place: str, seconds: float) -> _T:
    """Do something with a storage, again and again while the storage is away.

    Args:
        operation: Gets whether it was tried before, and may then have been done already.
        place: The storage, as people know it; without secrets.
        seconds: How long to wait.

    Raises:
        StorageUnusableError: if that was not long enough, or the storage takes no writes.
        Exception: what the operation raised, if waiting does not help.
    """
    since, told, pause, again = 0.0, False, 0.05, False
    while True:
        try:
            result = operation(again)
        except Exception as error:
            reason = _reason(error)
            if "readonly database" in reason:
                raise StorageUnusableError(f"cannot write to {place}: {reason}") from error
            if not passes(error):
                raise
            again, since = True, since or time.monotonic()
            waited = time.monotonic() - since
            limit = 0.0 if getattr(_here, "impatient", False) else seconds
            if waited >= limit:
                raise StorageUnusableError(
                    f"gave up on {place} after {waited:.0f} seconds: {reason}"
                ) from error
            if not told and waited > _QUIET_SECONDS:
                told = True
                _logger.warning("%s: %s; waiting up to %g seconds", place, reason, seconds)
            time.sleep(min(pause * random.uniform(0.5, 1.0), limit - waited))
            pause = min(2 * pause, _LONGEST_PAUSE)
        else:
            if told:
                waited = time.monotonic() - since
                _logger.warning("%s: answers again after %.0f seconds", place, waited)
            return result


def passes(error: BaseException) -> bool:
    """Whether the storage may do tomorrow what it did not do now."""
    from sqlalchemy.exc import DBAPIError

    error = _cause(error)
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ESTALE)
    if not isinstance(error, DBAPIError) or any(t in _reason(error).lower() for t in _REFUSALS):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if isinstance(state, str):
        return error.connection_invalidated or state.startswith(_STATES)
    number = error.orig.args[0] if error.orig is not None and error.orig.args else None
    if isinstance(number, int):
        return error.connection_invalidated or number in _NUMBERS
    text = _reason(error).lower()
    lost = error.connection_invalidated or "connection" in text or "server" in text
    return lost or any(t in text for t in _TEXTS)


def _cause(error: BaseException) -> BaseException:
    """What the database said, under what Optuna and SQLAlchemy make of it."""
    from sqlalchemy.exc import PendingRollbackError

    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, PendingRollbackError) and error.__context__ is not None:
        error = error.__context__  # Optuna asks a second time, in a session that is broken
    return error


def _reason(error: BaseException) -> str:
    """One line, in the words of the database."""
    from sqlalchemy.exc import DBAPIError

    error = _cause(error)
    said = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if isinstance(said, OSError) and said.strerror:
        return said.strerror
    text = said.args[-1] if said.args and isinstance(said.args[-1], str) else str(said)
    return next(iter(text.strip().splitlines()), type(said).__name__).rstrip(".")
