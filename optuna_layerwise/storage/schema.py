"""Whose tables a database has, found without changing it.

Optuna creates the tables that it misses as soon as it opens a database, whoever has made those
that are there; so nothing is opened before it was inspected.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import sqlalchemy
from alembic.migration import MigrationContext
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _VersionManager

_REVISIONS = "alembic_version"

State = Literal["none", "whole", "incomplete", "older", "newer", "foreign"]
"""None: no study can be there. Whole: Optuna's, as this release of it reads them. Incomplete:
some of those. Older and newer: of another release. Foreign: of another program, and in the way."""


@dataclasses.dataclass(frozen=True)
class Schema:
    """What was found.

    Args:
        state: See `State`.
        revision: Of the tables, as Optuna counts them; ``None`` where none is stored.
        made_by: Version of Optuna that made or upgraded them; empty if not known.
    """

    state: State
    revision: str | None = None
    made_by: str = ""


class Revisions(_VersionManager):
    """The revisions that Optuna knows, and its way from one to the next, without a storage."""

    def __init__(self, url: str = "sqlite://") -> None:
        self.url = url

    @property
    def config(self):  # type: ignore[no-untyped-def]  # noqa: ANN201
        """For the commands of alembic."""
        return self._create_alembic_config()


def inspect(connection: sqlalchemy.Connection) -> Schema:
    """Whose tables are there; reads only."""
    inspector = sqlalchemy.inspect(connection)
    names, expected = set(inspector.get_table_names()), models.BaseModel.metadata.tables
    known = names & set(expected)
    revision, made_by, counter = None, "", None
    if _REVISIONS in names:
        revision = MigrationContext.configure(connection).get_current_revision()
    if not known:
        return Schema("none" if revision is None else "foreign", revision)
    wrong = [
        name
        for name in known
        if name != "version_info"
        and revision is None
        and not _columns(inspector, name) >= set(expected[name].columns.keys())
    ]
    if "version_info" in names and _columns(inspector, "version_info") >= _VERSION_COLUMNS:
        row = connection.execute(sqlalchemy.text(_VERSION)).first()
        counter, made_by = row or (None, "")
    revisions = Revisions()
    if revision is None and counter is not None and counter < models.SCHEMA_VERSION:
        return Schema("older", revision, made_by)
    if revision is None and wrong:
        return Schema("foreign")
    if revision not in (None, revisions.get_head_version()):
        older = revision in revisions.get_all_versions()
        return Schema("older" if older else "newer", revision, made_by)
    whole = revision is not None and counter is not None and len(known) == len(expected)
    return Schema("whole" if whole else "incomplete", revision, made_by)


_VERSION_COLUMNS = {"schema_version", "library_version"}
_VERSION = "SELECT schema_version, library_version FROM version_info"


def _columns(inspector: sqlalchemy.Inspector, table: str) -> set[str]:
    return {column["name"] for column in inspector.get_columns(table)}
