from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from databases import close
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.trial import TrialState

from optuna_layerwise.storage import (
    OtherSchemaError,
    RelationalStorage,
    claims_are_atomic,
    open_storage,
    open_to_read,
    picture_of,
    study_names,
    upgrade_schema,
)


@pytest.mark.parametrize(
    "url, named",
    [
        ("postgresql://user:secret@127.0.0.1:1/db", "127.0.0.1:1/db"),
        ("mysql://user:secret@127.0.0.1:1/db", "127.0.0.1:1/db"),
        ("postgresql:///db?host=127.0.0.1&port=1&password=secret", "postgresql"),
        ("postgresql://user:secret@host:notaport/db", "host:notaport/db"),
        ("postgresql:/user:secret@host/db", "host/db"),
        ("nonsense", "nonsense"),
        ("oracle+nodriver://user:secret@host/db", "host/db"),
        ("redis://:secret@host/0", "host/0"),
        ("sqlite:////no/such/folder/study.db", "/no/such/folder/study.db"),
    ],
)
def test_unusable_url_is_a_connection_error_that_keeps_the_password(url: str, named: str) -> None:
    with pytest.raises(ConnectionError) as caught:
        open_storage(url)
    message = str(caught.value)
    assert named in message and "Expected" in message
    assert "secret" not in message


def test_file_that_is_no_database_is_a_connection_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("this is not a database" * 100)
    with pytest.raises(ConnectionError, match=r"notes\.txt"):
        open_storage(f"sqlite:///{tmp_path}/notes.txt")


@pytest.mark.sweep(3)
def test_study_survives_reopening(url: str) -> None:
    for n in (2, 4):
        storage = open_storage(url)
        study = optuna.create_study(storage=storage, study_name="s", load_if_exists=True)
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
        assert [t.number for t in study.trials] == list(range(n))
        close(storage)


def test_processes_that_open_the_same_empty_database_at_once_all_get_it(url: str) -> None:
    """Optuna's tables are made by whoever comes first, also while others look."""
    start, errors = threading.Barrier(6), []

    def open_it() -> None:
        start.wait()
        try:
            close(open_storage(url))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(start.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    storage = open_storage(url)
    optuna.create_study(storage=storage, study_name="s")
    close(storage)


def test_claim_on_sqlite_is_atomic(tmp_path: Path) -> None:
    """A second claim that starts while the first has not committed waits, and is refused."""
    url = f"sqlite:///{tmp_path}/study.db"
    first, second = RelationalStorage(url), RelationalStorage(url)
    optuna.create_study(storage=first).enqueue_trial({"x": 0})
    trial_id = first.get_all_trials(1)[0]._trial_id
    outcomes: list[bool] = []
    late = threading.Thread(
        target=lambda: outcomes.append(second.set_trial_state_values(trial_id, TrialState.RUNNING))
    )

    def start_late_claim(connection: sqlalchemy.Connection) -> None:
        late.start()
        late.join(timeout=0.3)
        assert late.is_alive(), "the second claim did not wait for the first"

    sqlalchemy.event.listen(first.engine, "commit", start_late_claim, once=True)
    outcomes.append(first.set_trial_state_values(trial_id, TrialState.RUNNING))
    late.join()
    assert outcomes == [True, False]
    for storage in (first, second):
        close(storage)


def test_only_sqlite_opened_elsewhere_has_claims_that_are_not_atomic(
    storage: BaseStorage, tmp_path: Path
) -> None:
    assert claims_are_atomic(storage)
    assert claims_are_atomic(InMemoryStorage())
    plain = RDBStorage(f"sqlite:///{tmp_path}/plain.db")
    assert not claims_are_atomic(plain)
    close(plain)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_database_that_cannot_be_used_or_is_upgraded_is_left_without_connections(
    url: str,
) -> None:
    """Else psycopg warns as they are forgotten, which fails this test."""
    storage = open_storage(url)
    _execute(storage, "UPDATE alembic_version SET version_num = 'v2.6.0.a'")
    with pytest.raises(OtherSchemaError):
        open_storage(url)
    _execute(storage, "UPDATE alembic_version SET version_num = 'v3.2.0.a'")
    upgrade_schema(url)
    close(open_storage(url))
    close(storage)


def _execute(storage: BaseStorage, statement: str) -> None:
    backend = getattr(storage, "_backend", storage)
    with backend.engine.begin() as connection:
        connection.execute(sqlalchemy.text(statement))


def test_waiting_for_a_locked_file_is_said_while_it_lasts(tmp_path: Path) -> None:
    """The lock is given back when the warning comes: without it, nothing would go on."""
    url = f"sqlite:///{tmp_path}/study.db"
    close(open_storage(url, log=False))
    other = sqlite3.connect(tmp_path / "study.db", isolation_level=None, check_same_thread=False)
    said: list[str] = []

    class Unlock(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())
            if other.in_transaction:
                other.execute("ROLLBACK")

    logger, handler = logging.getLogger("optuna_layerwise.storage.sqlite"), Unlock()
    logger.addHandler(handler)
    try:
        file = open_to_read(url)
        for look in (
            lambda: close(open_storage(url, read_only=True, log=False)),
            lambda: close(open_storage(url, log=False)),
            lambda: study_names(open_to_read(url)),
            lambda: picture_of(file),
        ):
            said.clear()
            other.execute("BEGIN EXCLUSIVE")
            look()
            waits, goes_on = said
            assert "study.db: another process has locked it; waiting up to 60 seconds" in waits
            assert "unlocked after" in goes_on
    finally:
        logger.removeHandler(handler)
        other.close()
