"""Names that a database takes for the same although they differ: refused, never mixed up.

MySQL and MariaDB compare names by a collation, to most of which ``Leaves``, ``léaves`` and
``leaves`` with a blank at its end are one name. So what came back is compared with what was asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb.models import BaseModel, TrialModel, TrialParamModel
from sqlalchemy.orm import Session


class AlikeNamesError(ValueError):
    """A name cannot be told apart from another one by this database."""

    def __init__(self, kind: str, asked: str, other: str) -> None:
        super().__init__(
            f"the name of {kind} {asked!r} cannot be told apart from {other!r} by this MySQL or "
            "MariaDB database, whose collation takes them for the same; choose another name, or "
            "use PostgreSQL or SQLite"
        )


def check_same(kind: str, asked: str, found: str) -> None:
    """Refuse what a database found under a name, if it has another one.

    Raises:
        AlikeNamesError: it has.
    """
    if found != asked:
        raise AlikeNamesError(kind, asked, found)


def holds_study(storage: BaseStorage, name: str) -> bool:
    """Whether there is a study of this name.

    Raises:
        AlikeNamesError: if the database takes the name for that of another study.
    """
    try:
        found = storage.get_study_id_from_name(name)
    except KeyError:
        return False
    check_same("study", name, storage.get_study_name_from_id(found))
    return True


def check_kept(
    session: Session,
    table: type[BaseModel],
    column: str,
    whose: Mapping[str, int],
    names: Collection[str],
) -> None:
    """Refuse names, written just now, of which one took the place of another.

    Raises:
        AlikeNamesError: it has both.
    """
    if session.get_bind().dialect.name != "mysql" or not names:
        return
    columns = table.__table__.c
    owned = [columns[key] == value for key, value in whose.items()]
    query = sqlalchemy.select(columns[column]).where(*owned, columns[column].in_(names))
    kept = set(session.execute(query).scalars())
    if lost := sorted(set(names) - kept):
        alike = sqlalchemy.select(columns[column]).where(*owned, columns[column] == lost[0])
        kind = "parameter" if column == "param_name" else "attribute"
        raise AlikeNamesError(kind, lost[0], str(session.execute(alike).scalars().first()))


def check_parameter_alone(session: Session, trial_id: int, name: str) -> None:
    """Refuse a parameter whose study has one that is taken for the same.

    Raises:
        AlikeNamesError: it has both.
    """
    if session.get_bind().dialect.name != "mysql":
        return
    trials, params = TrialModel.__table__.c, TrialParamModel.__table__.c
    study = sqlalchemy.select(trials.study_id).where(trials.trial_id == trial_id)
    query = (
        sqlalchemy.select(params.param_name)
        .distinct()
        .join_from(
            params.param_name.table, trials.trial_id.table, params.trial_id == trials.trial_id
        )
    )
    query = query.where(trials.study_id == study.scalar_subquery(), params.param_name == name)
    for found in session.execute(query).scalars():
        check_same("parameter", name, found)


def check_parameters_differ(storage: BaseStorage, names: Collection[str]) -> None:
    """Refuse parameters of one search that its database could not tell apart.

    Raises:
        AlikeNamesError: it has two of them.
    """
    backend = getattr(storage, "_backend", storage)
    if not isinstance(backend, RDBStorage) or backend.engine.name != "mysql" or not names:
        return
    numbered = {f"n{number}": name for number, name in enumerate(names)}
    with backend.engine.connect() as connection:
        charset, collation = connection.execute(sqlalchemy.text(_COLLATION)).one()
        one = f"SELECT CONVERT(:{{}} USING {charset}) COLLATE {collation} AS name"
        listed = " UNION ALL ".join(one.format(key) for key in numbered)
        query = sqlalchemy.text(
            f"SELECT MIN(BINARY name), MAX(BINARY name) FROM ({listed}) AS names "
            "GROUP BY name HAVING COUNT(*) > 1"
        )
        alike: Any = connection.execute(query, numbered).first()
    if alike is not None:
        other, asked = (bytes(name).decode(errors="replace") for name in alike)
        raise AlikeNamesError("parameter", asked, other)


_COLLATION = (
    "SELECT character_set_name, collation_name FROM information_schema.columns "
    "WHERE table_schema = DATABASE() AND table_name = 'trial_params' "
    "AND column_name = 'param_name'"
)
