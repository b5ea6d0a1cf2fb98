"""Connections to SQLite files: such as say that they wait, and such as change nothing."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

LOCK_SECONDS = 60.0
"""How long a statement waits for another process that has locked the file."""
_QUIET_SECONDS = 1.0
_LOG_VERSION = 2  # bytes 18 and 19 of a file that has a write-ahead log
_MEMORY = ":memory:"

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")


class _Cursor(sqlite3.Cursor):
    """See `Connection`."""

    def execute(self, *args: Any) -> Any:
        """As SQLite's."""
        return _patiently(self.connection, lambda: super(_Cursor, self).execute(*args))

    def executemany(self, *args: Any) -> Any:
        """As SQLite's."""
        return _patiently(self.connection, lambda: super(_Cursor, self).executemany(*args))


class Connection(sqlite3.Connection):
    """One that says within two seconds that it waits for a lock, and how long it will."""

    place = "the database"

    def __init__(self, database: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(database, *args, **{**kwargs, "timeout": _QUIET_SECONDS})
        self.place = database
        self.text_factory = _text

    def cursor(self, *_: Any) -> sqlite3.Cursor:  # type: ignore[override]
        """As SQLite's."""
        return super().cursor(_Cursor)

    def execute(self, *args: Any) -> Any:
        """As SQLite's, which would use a cursor of its own."""
        return self.cursor().execute(*args)

    def commit(self) -> None:
        """As SQLite's."""
        _patiently(self, super().commit)


def _text(stored: bytes) -> str:
    """Text of a file in which anything may be: bytes that are no text come as their numbers."""
    return stored.decode("utf-8", "backslashreplace")


def path_of(url: Any) -> str | None:
    """The file of a database by its parsed URL; ``None`` of one in memory or of a server."""
    in_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", _MEMORY)
    return url.database if in_file and not url.database.startswith("file:") else None


def connect_read_only(path: str) -> sqlite3.Connection:
    """A connection that leaves the file, its folder and its log as they are.

    * A log with its index belongs to a living process, or to one that died: both are read.
    * A log without its index is read from a copy in memory, for an index would have to be made.
    * Without a log, SQLite makes both and whoever closes last removes them, which takes a
      connection that may write, and is told not to. Where it may not, nobody here may either.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no database {path!r}")
    log, index = (os.path.exists(path + end) for end in ("-wal", "-shm"))
    folder = os.path.dirname(os.path.abspath(path))
    if log and not index:
        return _copied(path)
    if log:
        how = "mode=ro"
    elif os.access(path, os.W_OK) and os.access(folder, os.W_OK):
        how = "mode=rw"  # (its header is not looked at: to close a file ends a process's locks)
    else:
        with open(path, "rb") as file:
            logged = file.read(20)[18:] == bytes([_LOG_VERSION, _LOG_VERSION])
        how = "mode=ro&immutable=1" if logged else "mode=ro"
    return _connected(f"file:{quote(path)}?{how}", path)


def _connected(address: str, place: str) -> sqlite3.Connection:
    connection = sqlite3.connect(address, uri=True, factory=Connection, check_same_thread=False)
    connection.place = place
    try:
        connection.execute("PRAGMA query_only = 1")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _copied(path: str) -> sqlite3.Connection:
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "copy.db")
        shutil.copyfile(path, copy)
        shutil.copyfile(path + "-wal", copy + "-wal")
        source = sqlite3.connect(copy)
        try:
            memory = _connected(f"file:{_MEMORY}", path)
            memory.execute("PRAGMA query_only = 0")
            source.backup(memory)
            memory.execute("PRAGMA query_only = 1")
        finally:
            source.close()
    return memory


def _patiently(connection: Any, operation: Callable[[], _T]) -> _T:
    """SQLite's own wait is one for `LOCK_SECONDS`, in parts between which something is said."""
    begun, told = time.monotonic(), False
    while True:
        tried = time.monotonic()
        try:
            done = operation()
        except sqlite3.OperationalError as error:
            now = time.monotonic()
            # Where waiting cannot help, for each waits for the other, SQLite says so at once.
            futile = now - tried < _QUIET_SECONDS / 2 or now - begun >= LOCK_SECONDS
            if "is locked" not in str(error) or futile:
                raise
            if not told:
                told = True
                _logger.warning(
                    "%s: another process has locked it; waiting up to %g seconds",
                    *(connection.place, LOCK_SECONDS),
                )
        else:
            if told:
                waited = time.monotonic() - begun
                _logger.warning("%s: unlocked after %.0f seconds", connection.place, waited)
            return done
