"""Whether a storage takes writes, found by writing: permissions and modes do not tell."""

from __future__ import annotations

from optuna import Study
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import TrialState

from optuna_layerwise.storage.journal import FileJournalStorage
from optuna_layerwise.storage.outages import passes, reason_of
from optuna_layerwise.storage.urls import without_secrets


def check_writable(study: Study) -> None:
    """Write something to a study's storage and take it back, before anybody trains for nothing.

    A server that is away at this moment, and a file that is locked, are not refused: whoever
    writes waits for them.

    Raises:
        ConnectionError: if the storage cannot be written by this process.
    """
    storage: BaseStorage = study._storage
    if isinstance(storage, FileJournalStorage):
        _check_journal(storage.path)
        return
    database = getattr(storage, "_backend", storage)
    if isinstance(database, RDBStorage):
        _check_database(database, study._study_id)


def _check_database(storage: RDBStorage, study_id: int) -> None:
    from optuna.storages._rdb.models import TrialModel
    from sqlalchemy.exc import SQLAlchemyError

    trial = {"study_id": study_id, "number": 0, "state": TrialState.WAITING}
    try:
        with storage.engine.connect() as connection:
            connection.execute(TrialModel.__table__.insert().values(**trial))
            connection.rollback()
    except SQLAlchemyError as error:
        reason = reason_of(error)
        of_file = "unable to open" in reason or "readonly" in reason or "disk I/O" in reason
        if of_file or not passes(error):
            raise _refused(without_secrets(storage.url), reason) from error


def _check_journal(path: str) -> None:
    try:
        open(path, "ab").close()
    except OSError as error:
        raise _refused(path, reason_of(error)) from error


def _refused(place: str, reason: str) -> ConnectionError:
    return ConnectionError(
        f"cannot write to {place}: {reason}; choose a database that this user may write to"
    )
