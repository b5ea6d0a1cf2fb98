"""Opening a storage so that no waiting trial can be claimed twice, and none is lost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage, get_storage

from optuna_layerwise.storage.journal import FileJournalStorage, JournalFile
from optuna_layerwise.storage.outages import PATIENCE_SECONDS, persist
from optuna_layerwise.storage.relational import RelationalStorage
from optuna_layerwise.storage.urls import without_secrets
from optuna_layerwise.storage.wal import prefer_log

_DRIVERS = {
    "postgresql://": "postgresql+psycopg://",
    "postgres://": "postgresql+psycopg://",
    "mysql://": "mysql+pymysql://",
    "mariadb://": "mysql+pymysql://",
    "mariadb+": "mysql+",
}
# Seconds, but for the user timeout: a server that is gone without a word is noticed.
_CONNECT: dict[str, dict[str, Any]] = {
    "sqlite": {"timeout": 60.0},
    "postgresql+psycopg": {
        "connect_timeout": 10,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
    },
    "mysql+pymysql": {"connect_timeout": 10, "read_timeout": 120, "write_timeout": 120},
}
_TRIES = 20  # more than there are tables
_JOURNAL = "journal://"
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
) -> BaseStorage:
    """The storage behind a URL, for any number of worker processes.

    ``sqlite:///file.db``, ``postgresql://...`` (driver psycopg), ``mysql://...`` or
    ``mariadb://...`` (driver pymysql), and for a journal file ``journal:///file.log`` or a path
    that ends with ``.log``; a URL that names its own driver is taken as it is. As with SQLite,
    three slashes are followed by a relative path and four by an absolute one.

    Args:
        url: As above.
        create: Make a file that does not exist.
        patience_seconds: How long a storage that was opened may be away, before what was to be
            read or written fails with `StorageUnusableError`.
        wait: Wait as long for a storage that cannot be reached now, too.

    Raises:
        ConnectionError: if the storage cannot be reached, is not a URL, or its driver is absent.
        FileNotFoundError: if a file does not exist and is not to be made.
    """
    url = _with_driver(url)
    path = journal_path(url)
    shown = repr(path) if path else without_secrets(url)
    if not create:
        file = path
        if url.startswith("sqlite:///"):
            file = url.removeprefix("sqlite:///").partition("?")[0]
        if file not in (None, "", ":memory:") and not Path(file).is_file():
            raise FileNotFoundError(f"there is no database {shown}; `tune` makes one")
    try:
        return persist(
            lambda again: _open(url, path, patience_seconds),
            place=shown,
            seconds=patience_seconds if wait else 0.0,
        )
    except RuntimeError as error:  # Optuna's words about the version of its tables
        raise OtherSchemaError(
            f"the tables of {shown} are of another version of Optuna ({error}); "
            "`optuna-layerwise doctor --repair` upgrades older ones"
        ) from error
    except (
        sqlalchemy.exc.SQLAlchemyError,
        StorageInternalError,
        ImportError,
        ValueError,
        OSError,
    ) as error:
        reason = str(error.__cause__ or error).splitlines()[0].rstrip(".")
        raise ConnectionError(f"cannot open the storage {shown}: {reason}. {_EXPECTED}") from error


def upgrade_schema(url: str) -> None:
    """Bring the tables of a database that an older Optuna made up to date.

    Raises:
        ConnectionError: if that cannot be done.
    """
    try:
        storage = RDBStorage(_with_driver(url), skip_compatibility_check=True)
        try:
            storage.upgrade()
        finally:
            storage.engine.dispose()
    except Exception as error:  # alembic raises what it likes
        reason = str(error).splitlines()[0]
        raise ConnectionError(f"cannot upgrade {without_secrets(url)}: {reason}") from error


def _with_driver(url: str) -> str:
    for prefix, driver in _DRIVERS.items():
        if url.startswith(prefix):
            url = driver + url[len(prefix) :]
    return url


def _open(url: str, journal: str | None, patience_seconds: float) -> BaseStorage:
    if journal is not None:
        return FileJournalStorage(JournalFile(journal, patience_seconds=patience_seconds))
    driver = sqlalchemy.make_url(url).drivername
    name = driver.partition("+")[0]
    if name not in ("sqlite", "postgresql", "mysql"):
        raise ValueError(f"{name!r} is no kind of database that is known here")
    options: dict[str, Any] = {"connect_args": _CONNECT.get(driver, {})}
    if name == "mysql":
        # Gaps are not locked, so two inserts of neighbouring rows do not wait for each other.
        # A connection that was lost is noticed when it is used.
        options |= {"isolation_level": "READ COMMITTED", "pool_pre_ping": False}
    storage = _with_tables(
        lambda: RelationalStorage(url, options, patience_seconds=patience_seconds)
    )
    if name == "sqlite":
        prefer_log(storage.engine)
    return get_storage(storage)


def _with_tables(make: Callable[[], RelationalStorage]) -> RelationalStorage:
    """Optuna makes the tables that it has found missing; another process may be faster."""
    for _ in range(_TRIES):
        try:
            return make()
        except sqlalchemy.exc.DBAPIError as error:
            twice = isinstance(error, sqlalchemy.exc.IntegrityError)  # the row of their version
            if not twice and "already exists" not in str(error.orig):
                raise
            time.sleep(random.uniform(0, 0.1))
    return make()


def journal_path(url: str) -> str | None:
    """The file of a journal, if the URL is that of one."""
    if url.startswith(_JOURNAL):
        path = url.removeprefix(_JOURNAL)
        if path[:1] != "/" or len(path) < 2:
            raise ConnectionError(f"{url!r} is no journal. {_EXPECTED}")
        return path[1:]
    return url if url.endswith(".log") and "://" not in url else None


def claims_are_atomic(storage: BaseStorage) -> bool:
    """Whether several processes may claim waiting trials; false for SQLite opened elsewhere."""
    backend = getattr(storage, "_backend", storage)
    if not isinstance(backend, RDBStorage) or backend.engine.name != "sqlite":
        return True
    return isinstance(backend, RelationalStorage)
