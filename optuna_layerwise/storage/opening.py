"""Opening a storage so that no waiting trial can be claimed twice, and none is lost.

SQLAlchemy and Optuna's tables are imported when there is a database to open. A journal needs none,
nor does a SQLite file that is only looked at: see `open_to_read`.
"""

from __future__ import annotations

from pathlib import Path

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage

from optuna_layerwise.storage.journal import FileJournalStorage, JournalFile
from optuna_layerwise.storage.journal_lines import DamagedJournalError
from optuna_layerwise.storage.outages import PATIENCE_SECONDS, persist
from optuna_layerwise.storage.reading import SQLiteFile, has_newest_tables
from optuna_layerwise.storage.urls import scrubbed, with_driver, without_secrets

_JOURNAL = "journal://"
_SQLITE = "sqlite:///"
_EXPECTED = (
    "Expected sqlite:///tune.db, postgresql://user@host/db, mysql://user@host/db or "
    "journal:///tune.log"
)


class OtherSchemaError(ConnectionError):
    """The tables are of another version of Optuna."""


def open_storage(
    url: str,
    *,
    create: bool = True,
    patience_seconds: float = PATIENCE_SECONDS,
    wait: bool = False,
    read_only: bool = False,
    log: bool = True,
) -> BaseStorage:
    """The storage behind a URL, for any number of worker processes.

    ``sqlite:///file.db``, ``postgresql://...`` (driver psycopg), ``mysql://...`` or
    ``mariadb://...`` (driver pymysql), and for a journal file ``journal:///file.log`` or a path
    that ends with ``.log``; a URL that names its own driver is taken as it is. As with SQLite,
    three slashes are followed by a relative path and four by an absolute one.

    Args:
        url: As above.
        create: Make a file that does not exist, and tables in a database that has none.
        patience_seconds: How long a storage that was opened may be away, before what was to be
            read or written fails with `StorageUnusableError`.
        wait: Wait as long for a storage that cannot be reached now, too.
        read_only: Change nothing, and create nothing: a file stays as it is, byte for byte.
        log: Give a SQLite file a write-ahead log, where it can have one.

    Raises:
        ConnectionError: if the storage cannot be reached, is not a URL, or its driver is absent.
        OtherSchemaError: if its tables are not those of this release of Optuna.
        FileNotFoundError: if a file, or the tables, are not there and are not to be made.
        DamagedJournalError: if a line of a journal is none; the message has its number.
    """
    url = with_driver(url)
    path, create = journal_path(url), create and not read_only
    shown = repr(path) if path else without_secrets(url)
    if not create:
        file = path
        if url.startswith(_SQLITE):
            file = url.removeprefix(_SQLITE).partition("?")[0]
        if file not in (None, "", ":memory:") and not Path(file).is_file():
            raise FileNotFoundError(f"there is no database {shown}; `tune` makes one")
    failures: tuple[type[Exception], ...] = (
        StorageInternalError,
        ImportError,
        ValueError,
        OSError,
    )

    def opened(again: bool) -> BaseStorage:
        if path is not None:
            return FileJournalStorage(JournalFile(path, patience_seconds=patience_seconds))
        return open_engine(url, patience_seconds, create, read_only, log)

    if path is None:
        import sqlalchemy

        from optuna_layerwise.storage.databases import open_engine

        failures += (sqlalchemy.exc.SQLAlchemyError,)
    try:
        return persist(opened, place=shown, seconds=patience_seconds if wait else 0.0)
    except (OtherSchemaError, FileNotFoundError, DamagedJournalError):
        raise
    except failures as error:
        said = str(error.__cause__ or error) or type(error).__name__
        reason = scrubbed(said.splitlines()[0].rstrip("."), url)
        raise ConnectionError(f"cannot open the storage {shown}: {reason}. {_EXPECTED}") from error


def open_to_read(
    url: str, *, patience_seconds: float = PATIENCE_SECONDS, wait: bool = False
) -> BaseStorage | SQLiteFile:
    """What `study_names` and `picture_of` read; see `open_storage`, which raises the same."""
    path = url.removeprefix(_SQLITE)
    is_file = url.startswith(_SQLITE) and "?" not in path and not path.startswith("file:")
    if is_file and Path(path).is_file() and has_newest_tables(path):
        return SQLiteFile(path, patience_seconds)
    return open_storage(url, patience_seconds=patience_seconds, wait=wait, read_only=True)


def journal_path(url: str) -> str | None:
    """The file of a journal, if the URL is that of one."""
    if url.startswith(_JOURNAL):
        path = url.removeprefix(_JOURNAL)
        if path[:1] != "/" or len(path) < 2:
            raise ConnectionError(f"{url!r} is no journal. {_EXPECTED}")
        return path[1:]
    return url if url.endswith(".log") and "://" not in url else None
