"""Waiting for a storage that does not answer: said once, with back-off, up to a stated time."""

from __future__ import annotations

import contextlib
import errno
import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from optuna.exceptions import StorageInternalError

from optuna_layerwise.storage.journal_lines import DamagedJournalError

PATIENCE_SECONDS = 300.0
"""How long a storage may be away before its worker gives up."""
_QUIET_SECONDS = 0.5
_LONGEST_PAUSE = 5.0

# A server's error is taken for one that goes away by itself (a lock, a time-out, a restart, a
# read-only standby, too many connections, and whatever else its operators mend), but for those
# of the statement or of its content, and these: it refuses the connection, or this user, for good.
_REFUSALS = (
    *("authentication failed", "does not exist", "no pg_hba.conf entry", "access denied"),
    *("unknown database", "permission denied"),
)
# MySQL's numbers of such that its driver does not tell from the others: privileges, hosts,
# columns, packets that are too long, and transactions that we have opened for reading.
_REFUSED_NUMBERS = {1044, 1045, 1049, 1054, 1129, 1130, 1142, 1143, 1153, 1227, 1370, 1698, 1792}
_TEXTS = (
    *("is locked", "is full", "unable to open database file", "disk i/o error"),
    "locking protocol",
)

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
            reason = reason_of(error)
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
    from sqlalchemy import exc

    error = _cause(error)
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ESTALE)
    if isinstance(error, sqlite3.OperationalError):  # of a file that is read without SQLAlchemy
        return any(t in str(error).lower() for t in _TEXTS)
    if not isinstance(error, exc.DBAPIError) or isinstance(
        error, exc.DataError | exc.IntegrityError
    ):
        return False
    text = reason_of(error).lower()
    if error.connection_invalidated:
        return True
    if isinstance(error, exc.ProgrammingError | exc.NotSupportedError) or any(
        refusal in text for refusal in _REFUSALS
    ):
        return False
    state = getattr(error.orig, "sqlstate", None)
    number = error.orig.args[0] if error.orig is not None and error.orig.args else None
    if isinstance(state, str) or isinstance(number, int):
        return number not in _REFUSED_NUMBERS
    lost = "connection" in text or "server" in text
    return lost or any(t in text for t in _TEXTS)


def refuses_writes(error: BaseException) -> bool:
    """Whether PostgreSQL has said that the transaction is read-only."""
    from sqlalchemy import exc

    error = _cause(error)
    said = error.orig if isinstance(error, exc.DBAPIError) else None
    return getattr(said, "sqlstate", None) == "25006"


def is_of_storage(error: BaseException) -> bool:
    """Whether a database has raised it, and not about the value that it was given."""
    from sqlalchemy import exc

    ours = isinstance(error, exc.SQLAlchemyError | StorageInternalError | DamagedJournalError)
    return ours and not isinstance(_cause(error), exc.DataError | exc.IntegrityError)


def _cause(error: BaseException) -> BaseException:
    """What the database said, under what Optuna and SQLAlchemy make of it."""
    from sqlalchemy import exc

    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, exc.PendingRollbackError) and error.__context__ is not None:
        error = error.__context__  # Optuna asks a second time, in a session that is broken
    return error


def reason_of(error: BaseException) -> str:
    """One line, in the words of the database."""
    from sqlalchemy import exc

    error = _cause(error)
    said = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
    if isinstance(said, OSError) and said.strerror:
        return said.strerror
    text = said.args[-1] if said.args and isinstance(said.args[-1], str) else str(said)
    return next(iter(text.strip().splitlines()), type(said).__name__).rstrip(".")
