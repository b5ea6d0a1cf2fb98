"""Attributes of a study that are written only while they are what was read.

Several processes write the same study. A write that ignores what another has written meanwhile
would lose that or mix the two, so all that we store with a study goes through `compare_and_set`.

It is one transaction with the study's row locked in a relational database, whoever opened it; in
a journal file of ours the file is locked, and in memory the storage. Elsewhere it is a look
immediately before.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

from optuna import Study
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage

from optuna_layerwise.storage import long_values
from optuna_layerwise.storage.journal import FileJournalStorage
from optuna_layerwise.storage.keys import DATA_KEY

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def study_attr(study: Study, key: str, *, system: bool = False) -> Any:
    """An attribute as it is stored now; ``None`` if it is not there, or was taken back.

    Args:
        study: The study.
        key: Of the attribute.
        system: A system attribute instead of a user attribute.

    Raises:
        IncompleteValueError: if it was stored in parts, and they are not what was written.
    """
    storage = study._storage
    read = storage.get_study_system_attrs if system else storage.get_study_user_attrs
    value: Any = read(study._study_id).get(key)
    if not long_values.is_head(value):
        return value
    return long_values.joined(value, storage.get_study_system_attrs(study._study_id))


def storage_of(study: Study) -> BaseStorage:
    """The storage that a study is in."""
    return study._storage


def stored_keys(study: Study) -> set[str]:
    """The user attributes that hold something now."""
    stored = study._storage.get_study_user_attrs(study._study_id)
    return {key for key, value in stored.items() if value is not None}


def all_study_attrs(study: Study) -> dict[str, Any]:
    """All user attributes, those that were stored in parts whole, if they can be joined."""
    attributes: dict[str, Any] = dict(study.user_attrs)
    for key, value in attributes.items():
        if long_values.is_head(value):
            with contextlib.suppress(long_values.IncompleteValueError):
                attributes[key] = study_attr(study, key)
    return attributes


def notices_in(attributes: Mapping[str, Any], field: str = "notices") -> list[str]:
    """What was warned about the data, in a study's attributes; none if that cannot be read."""
    about = attributes.get(DATA_KEY)
    texts = about.get(field) if isinstance(about, dict) else None
    return [text for text in texts if isinstance(text, str)] if isinstance(texts, list) else []


def compare_and_set(
    study: Study,
    key: str,
    expected: Any,
    new: Any,
    *,
    system: bool = False,
    also: Mapping[str, Any] = _NOTHING,
) -> bool:
    """Write an attribute if it still is what was read; whether it was written.

    Two that write the same value can both be told that it was theirs, if the database was away
    meanwhile; a value that is to tell its writer has something random in it, as a lease has.

    Args:
        study: The study.
        key: Of the attribute.
        expected: What was read; ``None`` if there was nothing.
        new: JSON of any size, see `parts`; ``None`` takes the attribute back.
        system: A system attribute instead of a user attribute.
        also: Attributes to write with it, whatever they were: before it where there are no
            transactions.

    Examples:
        >>> study = optuna.create_study()
        >>> compare_and_set(study, "colour", None, "red")
        True
        >>> compare_and_set(study, "colour", None, "blue"), study_attr(study, "colour")
        (False, 'red')
    """
    storage = study._storage
    as_read, (new, own) = (expected, long_values.split(expected)[0]), long_values.split(new)
    if own:  # before anything depends on them
        for name, part in own.items():
            storage.set_study_system_attr(study._study_id, name, part)
        long_values.joined(new, storage.get_study_system_attrs(study._study_id))
    backend = getattr(storage, "_backend", storage)
    if isinstance(backend, RDBStorage):
        from optuna_layerwise.storage.persistent import PersistentStorage  # with SQLAlchemy

        database = backend

        def swap(again: bool) -> bool:
            return _swap(database, study._study_id, key, as_read, new, system, also, again)

        return backend.persist(swap) if isinstance(backend, PersistentStorage) else swap(False)
    with alone(storage):
        stored = storage.get_study_system_attrs if system else storage.get_study_user_attrs
        now = stored(study._study_id).get(key)
        if not any(_same(now, value) for value in as_read):
            return False
        write = storage.set_study_system_attr if system else storage.set_study_user_attr
        for name, value in {**also, key: new}.items():
            write(study._study_id, name, value)
    return True


def write_once(study: Study, key: str, value: Any, *, system: bool = False) -> Any:
    """Write an attribute unless there is one; returns the one that is stored.

    Args:
        study: The study.
        key: Of the attribute.
        value: JSON.
        system: A system attribute instead of a user attribute.
    """
    compare_and_set(study, key, None, value, system=system)
    return study_attr(study, key, system=system)


def update(study: Study, key: str, change: Callable[[Any], Any], *, system: bool = False) -> Any:
    """Replace an attribute by what is made of it; returns the new one.

    Args:
        study: The study.
        key: Of the attribute.
        change: Makes the new value of the stored one, or of ``None``. It is called again if
            another process was quicker.
        system: A system attribute instead of a user attribute.
    """
    while True:
        stored = study_attr(study, key, system=system)
        new = change(stored)
        if _same(new, stored) or compare_and_set(study, key, stored, new, system=system):
            return new


def _swap(
    backend: RDBStorage,
    study_id: int,
    key: str,
    as_read: Collection[Any],
    new: Any,
    system: bool,
    also: Mapping[str, Any],
    again: bool,
) -> bool:
    from optuna.storages._rdb.models import StudyModel

    from optuna_layerwise.storage import _rows as rows
    from optuna_layerwise.storage.persistent import transaction

    with transaction(backend) as session:
        StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
        stored = rows.study_attr(session, study_id, key, system=system)
        if again and _same(stored, new):  # by the first try, of which no answer came
            return True
        if not any(_same(stored, value) for value in as_read):
            return False
        rows.set_study_attrs(session, study_id, {**also, key: new}, system=system)
    return True


def _same(one: Any, other: Any) -> bool:
    """As JSON: a tuple is a list."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def alone(storage: BaseStorage) -> contextlib.AbstractContextManager[Any]:
    """Nobody else writes meanwhile, where that can be had."""
    if isinstance(storage, FileJournalStorage):
        return storage.alone()
    if isinstance(storage, InMemoryStorage):
        return storage._lock
    return contextlib.nullcontext()
