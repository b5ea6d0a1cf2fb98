"""Tables of an older Optuna are brought up to date, or stay as they were.

SQLite cannot take back all of a migration that fails half-way, and one of Optuna's does: no
column can be dropped that an old database names in a CHECK. So a copy is upgraded, compared with
what it was, and then written over the original in one transaction. PostgreSQL takes back by
itself. MySQL and MariaDB cannot, so they are left to their own tools.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator

import optuna
import sqlalchemy
from alembic import command
from optuna.storages import RDBStorage

from optuna_layerwise.storage.schema import Revisions, inspect
from optuna_layerwise.storage.sqlite import path_of
from optuna_layerwise.storage.urls import scrubbed, with_driver, without_secrets

_CHECK = re.compile(r",\s*CONSTRAINT studydirection CHECK \(direction IN \([^)]*\)\)")
_LATER = ("study_directions", "trial_intermediate_values", "trial_heartbeats")
"""Tables that the oldest releases have not: Optuna makes them, empty, when it is only opened."""
_LATER_SINCE = "v2.4.0.a"
_KEPT = ("studies", "trials", "trial_params", "trial_user_attributes", "study_user_attributes")


def upgrade_schema(url: str) -> str:
    """Bring the tables of a database that an older Optuna made up to date.

    Returns:
        Where the copy of the file is as it was; empty for a server, which has made none.

    Raises:
        ConnectionError: if that cannot be done; the database is then as it was.
    """
    url = with_driver(url)
    parsed = sqlalchemy.make_url(url)
    path = path_of(parsed)
    try:
        if path is not None:
            return _upgrade_file(path)
        if parsed.get_backend_name() != "postgresql":
            raise ValueError(
                "it cannot undo an upgrade that fails half-way; make a copy with its own tools, "
                "then run `optuna storage upgrade`"
            )
        _upgrade(url)
    except Exception as error:  # alembic raises what it likes
        reason = scrubbed(" ".join(str(error).split("\n")[0].split()).rstrip("."), url)
        raise ConnectionError(
            f"cannot upgrade {without_secrets(url)}: {reason}; it is as it was. Optuna's release "
            "that made it still reads it"
        ) from error
    return ""


def _upgrade_file(path: str) -> str:
    folder = os.path.dirname(os.path.abspath(path))
    with tempfile.TemporaryDirectory(dir=folder) as workplace:
        copy = os.path.join(workplace, "copy.db")
        kept = os.path.join(workplace, "kept.db")
        with _connected(path) as original:
            seen = original.execute("PRAGMA data_version").fetchone()
            with _connected(copy) as target:
                original.backup(target)
            shutil.copyfile(copy if os.path.exists(f"{path}-wal") else path, kept)
            _prepare(copy)
            _upgrade(f"sqlite:///{copy}")
            if _counts(kept) != _counts(copy):
                raise ValueError("not all of it came through")
            if original.execute("PRAGMA data_version").fetchone() != seen:
                raise ValueError("somebody is writing to it; stop that, and repair it then")
            backup = _free_name(path)
            os.rename(kept, backup)
            with _connected(copy) as source:
                source.backup(original)
    return backup


def _prepare(copy: str) -> None:
    """Take away what Optuna's migrations stumble over and no row is in."""
    with _connected(copy) as database:
        found = database.execute("SELECT sql FROM sqlite_master WHERE name = 'studies'").fetchone()
        if found is not None and _CHECK.search(found[0]):
            plain = _CHECK.sub("", found[0])
            database.execute("PRAGMA writable_schema = ON")
            change = "UPDATE sqlite_master SET sql = ? WHERE name = 'studies'"
            database.execute(change, (plain,))
            database.execute("PRAGMA writable_schema = RESET")
    engine = sqlalchemy.create_engine(f"sqlite:///{copy}")
    with engine.connect() as connection:
        revision = inspect(connection).revision
    engine.dispose()
    if revision is None or revision < _LATER_SINCE:
        with _connected(copy) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
            for table in tables & set(_LATER):
                if database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,):
                    database.execute(f"DROP TABLE {table}")


def _upgrade(url: str) -> None:
    revisions = Revisions(url)
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        revision = inspect(connection).revision
    engine.dispose()
    with _quietly():
        if revision is None:  # Optuna did not count them at first
            command.stamp(revisions.config, revisions._get_base_version())
        command.upgrade(revisions.config, "head")
        storage = RDBStorage(url)  # which checks them, and makes what is new
        try:
            storage._version_manager.upgrade()  # stores who made the tables
            for study in storage.get_all_studies():
                storage.get_all_trials(study._study_id)
        finally:
            storage.remove_session()
            storage.engine.dispose()


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what alembic says of each step, and Optuna of distributions that it renamed."""
    logger = logging.getLogger("alembic")
    level, verbosity = logger.level, optuna.logging.get_verbosity()
    handlers = logging.getLogger().handlers
    null = logging.NullHandler()
    logging.getLogger().addHandler(null)  # else alembic's settings replace everybody's
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        optuna.logging.set_verbosity(verbosity)
        if null in handlers:
            logging.getLogger().removeHandler(null)


def _counts(path: str) -> list[int]:
    with _connected(path) as database:
        return [database.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in _KEPT]


def _free_name(path: str) -> str:
    """Beside the file; nothing is overwritten."""
    name, number = f"{path}.before-upgrade", 1
    while os.path.exists(name):
        name, number = f"{path}.before-upgrade-{number}", number + 1
    return name


@contextlib.contextmanager
def _connected(path: str) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection
