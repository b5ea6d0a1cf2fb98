"""Rows of Optuna's tables, read and written several at once."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages._rdb.models import (
    BaseModel,
    StudySystemAttributeModel,
    StudyUserAttributeModel,
    TrialModel,
    TrialParamModel,
    TrialSystemAttributeModel,
    TrialUserAttributeModel,
)
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Session

from optuna_layerwise.storage import long_values
from optuna_layerwise.storage.alike import check_kept, check_same
from optuna_layerwise.storage.leases import LEASE_KEY, Lease


class TargetReachedError(RuntimeError):
    """No trial was created: its number would not have been below that of its template."""


def token(session: Session, trial_id: int) -> str | None:
    """Of the lease on a trial."""
    lease = Lease.from_json(system_attrs(session, trial_id, LEASE_KEY).get(LEASE_KEY))
    return None if lease is None else lease.token


def system_attrs(session: Session, trial_id: int, *keys: str) -> dict[str, Any]:
    """Those of a trial, or some of them."""
    table = TrialSystemAttributeModel
    query = sqlalchemy.select(table.key, table.value_json).where(table.trial_id == trial_id)
    if keys:
        query = query.where(table.key.in_(keys))
    return {key: json.loads(value) for key, value in session.execute(query)}


def set_system_attrs(session: Session, trial_id: int, attrs: Mapping[str, Any]) -> None:
    """Insert or replace some."""
    short, pieces = fitting(session, attrs)
    _replace(session, TrialSystemAttributeModel, {"trial_id": trial_id}, {**pieces, **short})


def set_user_attrs(session: Session, trial_id: int, attrs: Mapping[str, Any]) -> None:
    """Insert or replace some."""
    short, pieces = fitting(session, attrs)
    set_system_attrs(session, trial_id, pieces)
    _replace(session, TrialUserAttributeModel, {"trial_id": trial_id}, short)


def fitting(
    session: Session, attrs: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """Attributes as rows hold them, and the parts of those that no row holds; see `parts`."""
    if session.get_bind().dialect.name != "mysql":
        return attrs, {}
    return long_values.split_all(attrs)


def study_attr(session: Session, study_id: int, key: str, *, system: bool) -> Any:
    """One attribute of a study; ``None`` if it is not there."""
    table = StudySystemAttributeModel if system else StudyUserAttributeModel
    query = sqlalchemy.select(table.key, table.value_json)
    stored = session.execute(query.where(table.study_id == study_id, table.key == key)).first()
    if stored is None:
        return None
    check_same("attribute", key, stored.key)
    return json.loads(stored.value_json)


def set_study_attrs(
    session: Session, study_id: int, attrs: Mapping[str, Any], *, system: bool
) -> None:
    """Insert or replace some."""
    table = StudySystemAttributeModel if system else StudyUserAttributeModel
    _replace(session, table, {"study_id": study_id}, attrs)


def values_in_trials(session: Session, study_id: int, key: str) -> list[Any]:
    """A system attribute of all trials of a study that have it."""
    table = TrialSystemAttributeModel
    query = sqlalchemy.select(table.value_json).join(TrialModel)
    query = query.where(TrialModel.study_id == study_id, table.key == key)
    return [json.loads(value) for value in session.execute(query).scalars()]


def set_params(
    session: Session, trial_id: int, params: Mapping[str, tuple[float, BaseDistribution]]
) -> None:
    """Insert those that are not there; by name, internal value and distribution."""
    rows = [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": value,
            "distribution_json": distribution_to_json(distribution),
        }
        for name, (value, distribution) in params.items()
    ]
    dialect = session.get_bind().dialect.name
    if rows and dialect == "mysql":
        there = TrialParamModel.param_id  # not IGNORE, which would cut what is too long
        insert_all = mysql.insert(TrialParamModel).values(rows)
        session.execute(insert_all.on_duplicate_key_update(param_id=there))
        check_kept(session, TrialParamModel, "param_name", {"trial_id": trial_id}, params)
    elif rows:
        insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
        session.execute(insert(TrialParamModel).values(rows).on_conflict_do_nothing())


def create_below(session: Session, study_id: int, template: FrozenTrial) -> Any:
    """A running trial with the system attributes of a template.

    The study's row is locked, so the number is one more than that of the newest trial.

    Raises:
        TargetReachedError: if the number is not below that of the template.
    """
    newest = sqlalchemy.select(TrialModel.number).where(TrialModel.study_id == study_id)
    last = session.execute(newest.order_by(TrialModel.trial_id.desc()).limit(1)).scalar()
    number = 0 if last is None else last + 1
    if number >= template.number:
        raise TargetReachedError(f"there are {number} trials")
    row: Any = TrialModel(
        study_id=study_id, number=number, state=TrialState.RUNNING, datetime_start=datetime.now()
    )
    session.add(row)
    session.flush()
    set_system_attrs(session, row.trial_id, template.system_attrs)
    return row


def created_with(session: Session, study_id: int, lease: Lease) -> Any:
    """The trial that was created with a lease, if it was."""
    attributes = TrialSystemAttributeModel
    return (
        session.query(TrialModel)
        .join(attributes)
        .filter(TrialModel.study_id == study_id, TrialModel.state == TrialState.RUNNING)
        .filter(attributes.key == LEASE_KEY, attributes.value_json.contains(lease.token))
        .one_or_none()
    )


def frozen(row: Any, template: FrozenTrial | None) -> FrozenTrial:
    """A trial that was just created, without reading it again."""
    trial = FrozenTrial(
        number=row.number,
        state=row.state,
        value=None,
        datetime_start=row.datetime_start,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        trial_id=row.trial_id,
    )
    if template is not None:
        about = {name: getattr(trial, name) for name in ("number", "datetime_start", "_trial_id")}
        trial = copy.deepcopy(template)
        for name, value in about.items():
            setattr(trial, name, value)
    return trial


def _replace(
    session: Session, table: type[BaseModel], whose: Mapping[str, int], attrs: Mapping[str, Any]
) -> None:
    rows = [{**whose, "key": key, "value_json": json.dumps(value)} for key, value in attrs.items()]
    dialect = session.get_bind().dialect.name
    if rows and dialect == "mysql":
        upsert = mysql.insert(table).values(rows)
        session.execute(upsert.on_duplicate_key_update(value_json=upsert.inserted.value_json))
        check_kept(session, table, "key", whose, attrs)
    elif rows:
        insert = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table)
        insert = insert.values(rows)
        changed = {"value_json": insert.excluded.value_json}
        unique = [*whose, "key"]
        session.execute(insert.on_conflict_do_update(index_elements=unique, set_=changed))
