"""SQLite files of which pictures are taken with Python's own driver alone.

A command that looks at a study takes most of its time to import SQLAlchemy, Alembic and Optuna's
tables. It needs none of them for a file whose tables are those of the installed Optuna.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import optuna

from optuna_layerwise.storage.outages import persist
from optuna_layerwise.storage.sqlite import connect_read_only
from optuna_layerwise.storage.urls import without_secrets

Select = Callable[[str, Mapping[str, Any]], Iterable[Any]]
"""Runs a statement with ``:named`` values, and gives its rows."""

TABLES = {
    *("studies", "study_directions", "study_user_attributes", "study_system_attributes"),
    *("trials", "trial_params", "trial_values", "trial_intermediate_values"),
    *("trial_user_attributes", "trial_system_attributes", "trial_heartbeats", "version_info"),
}
_MIGRATIONS = "storages/_rdb/alembic/versions"
_REVISION = re.compile(r'^(down_)?revision\b.*?= *"([^"]+)"', re.MULTILINE)
_T = TypeVar("_T")


class SQLiteFile:
    """A file that is only read; each reading has its own connection.

    Args:
        path: The file.
        patience_seconds: How long it may be locked.
    """

    def __init__(self, path: str, patience_seconds: float) -> None:
        self.path, self.url = path, f"sqlite:///{path}"
        self.patience_seconds = patience_seconds

    def persist(self, operation: Callable[[bool], _T]) -> _T:
        """Read something, again if the file was locked; see `outages.persist`."""
        return persist(operation, place=without_secrets(self.url), seconds=self.patience_seconds)

    @contextlib.contextmanager
    def selecting(self) -> Iterator[Select]:
        """Inside, statements read the file."""
        with contextlib.closing(connect_read_only(self.path)) as connection:
            yield connection.execute


def has_newest_tables(path: str) -> bool:
    """Whether the tables of a file are Optuna's, all there, and of the installed release.

    False also says that it could not be found out, for the file is locked or damaged. Who opens
    it with `open_storage` then waits for it, or is told what it is.
    """
    try:
        with contextlib.closing(connect_read_only(path)) as connection:
            read = partial(_all, connection)
            connection.execute("PRAGMA busy_timeout = 0")
            tables = set(read("SELECT name FROM sqlite_master WHERE type = 'table'"))
            revisions = read("SELECT version_num FROM alembic_version")
            made = read("SELECT schema_version, library_version FROM version_info")
    except (sqlite3.Error, OSError):
        return False
    if not tables >= {(name,) for name in TABLES} or revisions != [(newest_revision(),)]:
        return False
    return len(made) == 1 and None not in made[0]


def newest_revision() -> str | None:
    """The last of Optuna's migrations, as their files say; ``None`` if they do not."""
    steps: list[tuple[str, str]] = []
    for file in Path(optuna.__file__).parent.joinpath(_MIGRATIONS).glob("*.py"):
        steps += _REVISION.findall(file.read_text(encoding="utf-8"))
    before = {revision for is_before, revision in steps if is_before}
    last = {revision for _, revision in steps} - before
    return last.pop() if len(last) == 1 else None


def _all(connection: sqlite3.Connection, query: str) -> list[Any]:
    return connection.execute(query).fetchall()
