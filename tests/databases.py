"""A fresh storage of every kind; servers that do not answer are skipped, but not in CI."""

from __future__ import annotations

import contextlib
import gc
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage

from optuna_layerwise.storage import open_storage

optuna.logging.set_verbosity(optuna.logging.WARNING)

# kind: (variable with the server's address, default address, driver, how a database is dropped)
SERVERS = {
    "postgresql": (
        "OLW_POSTGRESQL_URL",
        "postgresql://postgres@127.0.0.1:5432/postgres",
        "postgresql+psycopg",
        "DROP DATABASE {} WITH (FORCE)",
    ),
    "mysql": (
        "OLW_MYSQL_URL",
        "mysql+pymysql://root@127.0.0.1:3306",
        "mysql+pymysql",
        "DROP DATABASE {}",
    ),
}


@contextlib.contextmanager
def _database(server: str) -> Iterator[str]:
    variable, default, driver, drop = SERVERS[server]
    address = sqlalchemy.make_url(os.environ.get(variable, default))
    engine = sqlalchemy.create_engine(address.set(drivername=driver), isolation_level="AUTOCOMMIT")
    name = f"olw_{uuid.uuid4().hex}"
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    except sqlalchemy.exc.OperationalError as error:
        message = f"no {server} server answers at {address!r}; set {variable}: {error.orig}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    try:
        yield address.set(database=name).render_as_string(hide_password=False)
    finally:
        gc.collect()  # a connection that was left open warns here, not in a later test
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(drop.format(name)))
        engine.dispose()


@contextlib.contextmanager
def _address(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder}/study.db"
    elif kind == "journal":
        yield f"journal:///{folder}/journal.log"
    else:
        with _database(kind) as url:
            yield url


def close(storage: BaseStorage) -> None:
    """Give back a storage's connections."""
    backend = getattr(storage, "_backend", storage)
    if isinstance(backend, RDBStorage):
        backend.remove_session()
        backend.engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database; parametrize it indirectly to choose the kinds."""
    with _address(request.param, tmp_path) as address:
        yield address


@pytest.fixture(params=["memory", "journal", "sqlite", "postgresql", "mysql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BaseStorage]:
    """An empty storage of every kind."""
    if request.param == "memory":
        yield InMemoryStorage()
    else:
        with _address(request.param, tmp_path) as address:
            opened = open_storage(address)
            yield opened
            close(opened)
