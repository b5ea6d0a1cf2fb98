"""Optuna's relational storage, which waits for a database that is away and then goes on."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from sqlalchemy.orm import Session

from optuna_layerwise.storage.alike import check_same
from optuna_layerwise.storage.lengths import check_name
from optuna_layerwise.storage.outages import (
    PATIENCE_SECONDS,
    StorageUnusableError,
    persist,
    refuses_writes,
)
from optuna_layerwise.storage.urls import without_secrets

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _again_and_again(
    method: Callable[Concatenate[Any, _P], _T],
) -> Callable[Concatenate[Any, _P], _T]:
    """A method that may be done twice: it reads, or writes what is then there already."""

    @functools.wraps(method)
    def patient(self: Any, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        done: _T = self.persist(lambda again: method(self, *args, **kwargs))
        return done

    return patient  # type: ignore[return-value]  # the first parameter has a name


class PersistentStorage(RDBStorage):
    """A database that may restart while it is used.

    Args:
        url: SQLAlchemy's, with the driver.
        engine_kwargs: For `sqlalchemy.create_engine`.
        patience_seconds: How long the database may be away.
        skip_table_creation: Leave the tables as they are: nothing will be written.
    """

    def __init__(
        self,
        url: str,
        engine_kwargs: dict[str, Any] | None = None,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        skip_table_creation: bool = False,
    ) -> None:
        super().__init__(url, engine_kwargs, skip_table_creation=skip_table_creation)
        self.patience_seconds = patience_seconds

    def persist(self, operation: Callable[[bool], _T]) -> _T:
        """Do something, again if the database was away; see `outages.persist`."""
        server = self.engine.name != "sqlite"

        def on_fresh_connections(again: bool) -> _T:
            if again and server:  # old ones would stay read-only, say, when the server is not
                self.remove_session()
                self.engine.dispose()
            try:
                return operation(again)
            except Exception as error:
                if for_reading and refuses_writes(error):  # and always will
                    raise StorageUnusableError(f"{place} was opened for reading") from error
                if type(error) is LookupError:  # SQLAlchemy's, of a column with few values
                    reason = str(error).partition(". Enum name")[0]
                    raise ValueError(
                        f"a value in {place} cannot be read: {reason}; put back a copy of the "
                        "database from before it was changed, or delete the study"
                    ) from error
                raise

        place = without_secrets(self.url)
        for_reading = self.engine.get_execution_options().get("postgresql_readonly", False)
        return persist(on_fresh_connections, place=place, seconds=self.patience_seconds)

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """As Optuna's; a name that the database would not hold is refused."""
        check_name("study", study_name or "", database=self.engine.name)
        try:
            return super().create_new_study(directions, study_name)
        except DuplicatedStudyError:
            self.get_study_id_from_name(study_name or "")  # or say that it has another name
            raise

    def get_study_id_from_name(self, study_name: str) -> int:
        """As Optuna's; a study that has another name, which the database takes for it, is refused.

        Raises:
            AlikeNamesError: if there is one.
        """
        if self.engine.name != "sqlite" or "\0" not in study_name:  # it may have such a one
            check_name("study", study_name, database=self.engine.name)

        def look(again: bool) -> int:
            found = RDBStorage.get_study_id_from_name(self, study_name)
            check_same("study", study_name, RDBStorage.get_study_name_from_id(self, found))
            return found

        return self.persist(look)

    set_study_user_attr = _again_and_again(RDBStorage.set_study_user_attr)
    set_study_system_attr = _again_and_again(RDBStorage.set_study_system_attr)
    delete_study = _again_and_again(RDBStorage.delete_study)
    get_study_name_from_id = _again_and_again(RDBStorage.get_study_name_from_id)
    get_study_directions = _again_and_again(RDBStorage.get_study_directions)
    get_study_user_attrs = _again_and_again(RDBStorage.get_study_user_attrs)
    get_study_system_attrs = _again_and_again(RDBStorage.get_study_system_attrs)
    get_all_studies = _again_and_again(RDBStorage.get_all_studies)
    get_trial = _again_and_again(RDBStorage.get_trial)
    get_trial_param = _again_and_again(RDBStorage.get_trial_param)
    get_trial_user_attrs = _again_and_again(RDBStorage.get_trial_user_attrs)
    get_trial_system_attrs = _again_and_again(RDBStorage.get_trial_system_attrs)
    get_trial_id_from_study_id_trial_number = _again_and_again(
        RDBStorage.get_trial_id_from_study_id_trial_number
    )
    set_trial_user_attr = _again_and_again(RDBStorage.set_trial_user_attr)
    set_trial_system_attr = _again_and_again(RDBStorage.set_trial_system_attr)
    set_trial_intermediate_value = _again_and_again(RDBStorage.set_trial_intermediate_value)
    _set_trial_param = _again_and_again(RDBStorage._set_trial_param)
    _get_trials = _again_and_again(RDBStorage._get_trials)
    _get_best_trial_id = _again_and_again(RDBStorage._get_best_trial_id)


@contextlib.contextmanager
def transaction(storage: RDBStorage) -> Iterator[Session]:
    """All or nothing; on SQLite, which has no row locks, one at a time from its beginning."""
    session = storage.scoped_session()
    try:
        if storage.engine.name == "sqlite":
            session.execute(sqlalchemy.text("BEGIN IMMEDIATE"))
        yield session
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.close()
