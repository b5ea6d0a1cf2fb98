"""Opening a database so that no waiting trial can be claimed twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.trial import TrialState

_DRIVERS = {"postgresql://": "postgresql+psycopg://", "mysql://": "mysql+pymysql://"}
_SQLITE_TIMEOUT = 60.0


class SqliteStorage(RDBStorage):
    """SQLite whose claims are atomic.

    Optuna reads a waiting trial's state and then writes it; SQLite has no row locks, and
    Python's driver opens a transaction only at the write, so two processes can both claim it.
    Here the transaction is opened, with the write lock, before the read.
    """

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """As Optuna's, but a claim holds the write lock from before it reads."""
        if state == TrialState.RUNNING:
            session = self.scoped_session()  # the very session that Optuna's method then uses
            try:
                session.execute(sqlalchemy.text("BEGIN IMMEDIATE"))
            except sqlalchemy.exc.SQLAlchemyError as error:
                session.rollback()
                raise StorageInternalError(f"no write lock on {self.url}: {error}") from error
        return super().set_trial_state_values(trial_id, state, values)


def open_storage(url: str, *, create: bool = True) -> BaseStorage:
    """The storage behind a SQLAlchemy URL, for any number of worker processes.

    ``sqlite:///file.db``, ``postgresql://...`` (driver psycopg) and ``mysql://...`` (driver
    pymysql); a URL that names its own driver is taken as it is.

    Args:
        url: As above.
        create: Make a SQLite file that does not exist.

    Raises:
        ConnectionError: if the storage cannot be reached, is not a URL, or its driver is absent.
        FileNotFoundError: if a SQLite file does not exist and is not to be made.
    """
    for prefix, driver in _DRIVERS.items():
        if url.startswith(prefix):
            url = driver + url[len(prefix) :]
    shown = without_secrets(url)
    if not create and url.startswith("sqlite:///"):
        path = url.removeprefix("sqlite:///").partition("?")[0]
        if path not in ("", ":memory:") and not Path(path).is_file():
            raise FileNotFoundError(f"there is no database {shown}; `tune` makes one")
    try:
        if url.startswith("sqlite"):
            connect = {"timeout": _SQLITE_TIMEOUT}
            return get_storage(SqliteStorage(url, engine_kwargs={"connect_args": connect}))
        return get_storage(url)
    except (
        sqlalchemy.exc.SQLAlchemyError,
        StorageInternalError,
        ImportError,
        ValueError,
    ) as error:
        reason = str(error.__cause__ or error).splitlines()[0].rstrip(".")
        raise ConnectionError(
            f"cannot open the storage {shown}: {reason}. Expected a reachable database, such as "
            "sqlite:///tune.db, postgresql://user@host/db or mysql://user@host/db"
        ) from error


def claims_are_atomic(storage: BaseStorage) -> bool:
    """Whether several processes may claim waiting trials; false for SQLite opened elsewhere."""
    backend = getattr(storage, "_backend", storage)
    if not isinstance(backend, RDBStorage) or backend.engine.name != "sqlite":
        return True
    return isinstance(backend, SqliteStorage)


def without_secrets(url: str) -> str:
    """The URL without its password and options, or what follows the user in what is none."""
    try:
        return sqlalchemy.make_url(url).set(query={}).render_as_string(hide_password=True)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        _, at, place = url.rpartition("@")
        return repr(f"***@{place}" if at else url)
