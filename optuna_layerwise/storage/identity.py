"""Which study this is, whatever its name, its number and its database.

The id is random, and is written once. `optuna.copy_study` copies it with all that the study
holds: a copy and its source are the same search, continued in two places, and have one id. What
must not be shared by the two, such as a folder of checkpoints, needs the place of the study (its
database and name) beside the id: see `marks`. `Study.add_trials` copies trials alone, so the id
that their records carry shows that they belong to another study.
"""

from __future__ import annotations

import hashlib
import os
import secrets

from optuna import Study
from optuna.storages import JournalStorage, RDBStorage

from optuna_layerwise.storage.study_attrs import study_attr, write_once

STUDY_KEY = "olw:study"
"""Study system attribute: the study's id."""


def stored_study_id(study: Study) -> str | None:
    """The study's id, if it has one already; nothing is written."""
    stored = study_attr(study, STUDY_KEY, system=True)
    return stored if isinstance(stored, str) else None


def study_id(study: Study) -> str:
    """The study's id, which is drawn and stored if it has none.

    Examples:
        >>> import optuna
        >>> study = optuna.create_study()
        >>> study_id(study) == study_id(study)
        True
    """
    stored = stored_study_id(study)
    return stored or str(write_once(study, STUDY_KEY, secrets.token_hex(16), system=True))


def stored_marks(study: Study) -> tuple[str, str] | None:
    """What `marks` are, if the study has an id already; nothing is written."""
    stored = stored_study_id(study)
    return None if stored is None else (_digest(stored), _digest(_place(study)))


def marks(study: Study) -> tuple[str, str]:
    """Two words for names of files: which study this is, and in which place.

    A copy of a database has the first of its source and another second one. So has a database
    that was moved, or one that is reached by another name.

    Examples:
        >>> import optuna
        >>> [len(mark) for mark in marks(optuna.create_study())]
        [12, 12]
    """
    return _digest(study_id(study)), _digest(_place(study))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _place(study: Study) -> str:
    """The database, without who opened it and how, and the study's name there."""
    storage = study._storage
    backend = getattr(storage, "_backend", storage)
    database = type(backend).__name__
    if isinstance(backend, RDBStorage):
        from optuna_layerwise.storage.sqlite import path_of

        url = backend.engine.url
        if (file := path_of(url)) is not None:
            database = os.path.realpath(file)
        else:
            options = [str(url.query.get(name, "")) for name in _WHERE]
            server = [url.get_backend_name(), url.host, url.port, url.database]
            database = " ".join(map(str, [*server, *options]))
    elif isinstance(storage, JournalStorage) and (file := getattr(backend, "_file_path", None)):
        database = os.path.realpath(file)
    return f"{database}\n{study.study_name}"


_WHERE = ("host", "port", "dbname", "unix_socket", "service", "options")
"""Options of a URL that say which database it is."""
