"""What a database says beside yes: a result that was computed is stored, or its trial goes on."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import optuna
import pymysql
import pytest
import sqlalchemy
from databases import close
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from optuna_layerwise.storage import StorageUnusableError, open_storage
from optuna_layerwise.storage.outages import passes
from optuna_layerwise.studies import open_study, work

AWAY_SECONDS = 1.5


@pytest.fixture
def admin(url: str) -> Iterator[sqlalchemy.Engine]:
    """Another session of the server's owner, in which each statement is a transaction."""
    address = sqlalchemy.make_url(url)
    if address.get_backend_name() == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(address, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


def tell(admin: sqlalchemy.Engine, *statements: str) -> None:
    with admin.connect() as connection:
        for statement in statements:
            connection.execute(sqlalchemy.text(statement))


def later(function: Callable[[], None]) -> None:
    threading.Timer(AWAY_SECONDS, function).start()


@contextlib.contextmanager
def user_of(admin: sqlalchemy.Engine) -> Iterator[sqlalchemy.URL]:
    """Somebody who may do anything in the database, but does not own the server."""
    name, url = f"olw_{uuid.uuid4().hex[:12]}", admin.url
    if admin.name == "postgresql":
        tell(admin, f"CREATE ROLE {name} LOGIN", f"GRANT ALL ON SCHEMA public TO {name}")
        yield url.set(username=name)
        tell(admin, f"REASSIGN OWNED BY {name} TO CURRENT_USER", f"DROP OWNED BY {name}")
        tell(admin, f"DROP ROLE {name}")
    else:
        tell(admin, f"CREATE USER {name}@'%' IDENTIFIED BY 'x'")
        tell(admin, f"GRANT ALL ON {url.database}.* TO {name}@'%'")
        yield url.set(username=name, password="x")
        tell(admin, f"DROP USER {name}@'%'")


def plain(url: sqlalchemy.URL) -> str:
    return url.render_as_string(hide_password=False)


def works_through(url: str, trouble: Callable[[optuna.Study], None]) -> None:
    """One trial whose result meets trouble; nothing of it is lost or computed twice."""
    study = open_study(url, study_name="s", sampler=optuna.samplers.RandomSampler(seed=0))
    computed = []

    def objective(trial: optuna.Trial) -> float:
        computed.append(trial.suggest_float("x", 0, 1))
        if trial.number == 0:
            trouble(study)
        return computed[-1]

    assert work(study, objective, n_finished=2)
    assert [trial.value for trial in study.trials] == computed
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join()
    close(study._storage)


def lock_trials(admin: sqlalchemy.Engine) -> None:
    """For a while, in another session."""
    session = admin.execution_options(isolation_level="READ COMMITTED").connect()
    session.execute(sqlalchemy.text("SELECT * FROM trials FOR UPDATE")).all()
    later(session.close)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout"])
def test_a_result_that_meets_a_time_out_of_postgresql_is_stored(
    url: str, admin: sqlalchemy.Engine, setting: str
) -> None:
    tell(admin, f"ALTER DATABASE {admin.url.database} SET {setting} = '200ms'")
    works_through(url, lambda study: lock_trials(admin))


@pytest.mark.sweep
@pytest.mark.parametrize("url", ["mysql"], indirect=True)
@pytest.mark.parametrize("setting", ["max_statement_time", "innodb_lock_wait_timeout"])
def test_a_result_that_meets_a_time_out_of_mysql_or_mariadb_is_stored(
    url: str, admin: sqlalchemy.Engine, setting: str
) -> None:
    with admin.connect() as connection:
        if setting not in connection.execute(sqlalchemy.text("SHOW VARIABLES")).scalars().all():
            pytest.skip(f"the server has no {setting}")
    ours = admin.url.update_query_dict({"init_command": f"SET SESSION {setting} = 1"})
    works_through(plain(ours), lambda study: lock_trials(admin))


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_postgresql_that_takes_no_writes_for_a_while_is_waited_for(
    url: str, admin: sqlalchemy.Engine
) -> None:
    database = admin.url.database
    setting = f"ALTER DATABASE {database} SET default_transaction_read_only"
    end_sessions = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{database}' AND pid <> pg_backend_pid()"
    )

    def stand_by(study: optuna.Study) -> None:
        tell(admin, f"{setting} = on", end_sessions)
        back = ("SET default_transaction_read_only = off", f"{setting} = off")
        later(lambda: tell(admin, *back))

    works_through(url, stand_by)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_session_that_was_idle_in_a_transaction_for_too_long_is_made_again(url: str) -> None:
    limit = sqlalchemy.text("SET idle_in_transaction_session_timeout = '200ms'")

    def stay_idle(study: optuna.Study) -> None:
        backend: Any = getattr(study._storage, "_backend", None)
        slow, commit = threading.Event(), sqlalchemy.event

        @commit.listens_for(backend.engine, "commit", once=True)
        def wait(connection: sqlalchemy.Connection) -> None:
            connection.execute(limit)  # of this session only: others may be slow for other reasons
            slow.wait(1)

    works_through(url, stay_idle)


@pytest.mark.parametrize("url", ["postgresql", "mysql"], indirect=True)
def test_a_server_with_too_few_connections_is_waited_for(
    url: str, admin: sqlalchemy.Engine
) -> None:
    with user_of(admin) as address:
        held: list[sqlalchemy.Connection] = []
        engine = sqlalchemy.create_engine(address, isolation_level="AUTOCOMMIT")

        def take_the_last_one(study: optuna.Study) -> None:
            close(study._storage)
            name = address.username
            if admin.name == "postgresql":
                tell(admin, f"ALTER ROLE {name} CONNECTION LIMIT 1")
            else:
                tell(admin, f"ALTER USER {name}@'%' WITH MAX_USER_CONNECTIONS 1")
            while not held:  # the thread that keeps the lease may be quicker
                close(study._storage)
                with contextlib.suppress(OperationalError):
                    held.append(engine.connect())
            later(give_it_back)

        def give_it_back() -> None:
            held[0].close()
            engine.dispose()

        works_through(plain(address), take_the_last_one)


@pytest.mark.parametrize("number", [1040, 1203, 1205, 1213, 1226, 1290, 1836, 1969, 3024, 4999])
def test_what_the_operators_of_a_server_mend_is_waited_for(number: int) -> None:
    """Not one by one on a real server: most are of the whole server, which others use."""
    said = pymysql.err.OperationalError(number, "said the server")
    assert passes(OperationalError("UPDATE trials", {}, said))
    for refused in (1045, 1049, 1142):
        said = pymysql.err.OperationalError(refused, "said the server")
        assert not passes(OperationalError("UPDATE trials", {}, said))


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_an_error_of_the_database_that_waiting_does_not_mend_fails_no_trial(
    url: str, admin: sqlalchemy.Engine
) -> None:
    with user_of(admin) as address:
        name = address.username
        sampler = optuna.samplers.RandomSampler(seed=0)
        study = open_study(plain(address), study_name="s", sampler=sampler)
        computed = []

        def objective(trial: optuna.Trial) -> float:
            computed.append(trial.suggest_float("x", 0, 1))
            if len(computed) == 1:
                tell(admin, f"REVOKE INSERT ON trial_values FROM {name}")
            return computed[-1]

        with (
            pytest.warns(UserWarning, match="trial 0 is tried again after .*permission denied"),
            pytest.raises(sqlalchemy.exc.ProgrammingError),
        ):
            work(study, objective, n_finished=2)
        assert [trial.state for trial in study.trials] == [TrialState.WAITING]
        tell(admin, f"GRANT INSERT ON trial_values TO {name}")
        assert work(study, objective, n_finished=2)
        assert [trial.value for trial in study.trials] == [computed[0], computed[-1]]
        assert set(computed[:-1]) == {computed[0]}, "it goes on as itself"
        close(study._storage)


@pytest.mark.sweep
@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_storage_that_was_opened_for_reading_says_so_at_once(url: str) -> None:
    close(open_storage(url))
    study = open_study(url, study_name="s")
    reading = optuna.load_study(study_name="s", storage=open_storage(url, read_only=True))
    with pytest.raises(StorageUnusableError, match="was opened for reading"):
        reading.set_user_attr("a", 1)
    close(reading._storage)
    close(study._storage)
