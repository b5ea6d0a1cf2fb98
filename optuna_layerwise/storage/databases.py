"""Engines for the databases that can be worked on; see `open_storage`."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage, get_storage

from optuna_layerwise.storage import sqlite
from optuna_layerwise.storage.opening import OtherSchemaError, journal_path
from optuna_layerwise.storage.relational import RelationalStorage
from optuna_layerwise.storage.schema import Schema, inspect
from optuna_layerwise.storage.urls import check_password, without_secrets
from optuna_layerwise.storage.wal import prefer_log

# Seconds, but for the user timeout: a server that is gone without a word is noticed.
_CONNECT: dict[str, dict[str, Any]] = {
    "sqlite": {"factory": sqlite.Connection},
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


def open_engine(
    url: str,
    patience_seconds: float,
    create: bool,
    read_only: bool,
    log: bool,
) -> BaseStorage:
    """A storage behind a URL with a driver."""
    check_password(url)
    parsed = sqlalchemy.make_url(url)
    driver, name = parsed.drivername, parsed.get_backend_name()
    if name not in ("sqlite", "postgresql", "mysql"):
        raise ValueError(f"{name!r} is no kind of database that is known here")
    options: dict[str, Any] = {"connect_args": _CONNECT.get(driver, {})}
    if name == "mysql":
        # Gaps are not locked, so two inserts of neighbouring rows do not wait for each other.
        # A connection that was lost is noticed when it is used.
        # What does not fit is an error, never cut, whatever the server's or the URL's mode.
        options |= {
            "isolation_level": "READ COMMITTED",
            "pool_pre_ping": False,
            "pool_events": [(_refuse_to_cut, "connect")],
        }
    file = sqlite.path_of(parsed)
    if name != "sqlite" or file is not None and Path(file).is_file():
        reading = _read_only_options(parsed, options)
        _check(_schema(url, reading, read_only), url, create=create, read_only=read_only)
        if read_only:
            options = reading
    storage = _with_tables(
        lambda: RelationalStorage(
            url,
            options,
            patience_seconds=patience_seconds,
            skip_table_creation=read_only,
        )
    )
    if name == "sqlite" and log and not read_only:
        prefer_log(storage.engine)
    return get_storage(storage)


def _refuse_to_cut(connection: Any, record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')")


def _read_only_options(url: sqlalchemy.URL, options: dict[str, Any]) -> dict[str, Any]:
    """What an engine is made with whose connections change nothing."""
    if (file := sqlite.path_of(url)) is not None:
        return {
            "creator": lambda: sqlite.connect_read_only(file),
            "poolclass": sqlalchemy.pool.NullPool,  # no log is kept open
        }
    if url.get_backend_name() == "mysql":
        arguments = {
            **options["connect_args"],
            "init_command": "SET SESSION TRANSACTION READ ONLY",
        }
        return {**options, "connect_args": arguments}
    return {**options, "execution_options": {"postgresql_readonly": True}}


def _schema(url: str, options: dict[str, Any], read_only: bool) -> Schema:
    engine = sqlalchemy.create_engine(url, **options)
    try:
        for _ in range(_TRIES):
            with engine.connect() as connection:
                found = inspect(connection)
            if found.state != "incomplete" or not read_only:
                break
            time.sleep(random.uniform(0, 0.1))  # somebody may be making them just now
        return found
    finally:
        engine.dispose()


def _check(found: Schema, url: str, *, create: bool, read_only: bool) -> None:
    """Whether tables can be opened, before Optuna makes those that it misses."""
    shown = without_secrets(url)
    if found.state == "none" or found.state == "foreign" and not create:
        if not create:
            raise FileNotFoundError(
                f"there is no study in {shown}: it has no tables of Optuna; `tune` makes them"
            )
    elif found.state == "foreign":
        raise OtherSchemaError(
            f"{shown} has tables of another program where those of Optuna would be; use another "
            "database"
        )
    elif found.state == "older":
        made = f"Optuna {found.made_by}" if found.made_by else "an older Optuna"
        raise OtherSchemaError(
            f"the tables of {shown} are of another version of Optuna: {made} made them; "
            "`optuna-layerwise doctor --repair` upgrades them, and keeps a copy"
        )
    elif found.state == "newer":
        raise OtherSchemaError(
            f"the tables of {shown} are of another version of Optuna: {found.revision!r} is "
            "newer than this release, or none of Optuna's; install a newer Optuna"
        )
    elif found.state == "incomplete" and read_only:
        raise OtherSchemaError(
            f"{shown} misses tables of Optuna, or what says who made them; "
            "`optuna-layerwise doctor --repair` adds what is missing"
        )


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


def is_writable(url: str) -> bool:
    """Whether this process may write to a file; true of a server, which knows itself."""
    file = journal_path(url)
    if file is None and url.startswith("sqlite:"):
        file = sqlite.path_of(sqlalchemy.make_url(url))
    if file is None:
        return True
    folder = Path(file).absolute().parent
    return os.access(file, os.W_OK) and os.access(folder, os.W_OK)


def claims_are_atomic(storage: BaseStorage) -> bool:
    """Whether several processes may claim waiting trials; false for SQLite opened elsewhere."""
    backend = getattr(storage, "_backend", storage)
    if not isinstance(backend, RDBStorage) or backend.engine.name != "sqlite":
        return True
    return isinstance(backend, RelationalStorage)
