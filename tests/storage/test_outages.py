"""Databases that go away, refuse and fill up: said once, waited for, and nothing is lost."""

from __future__ import annotations

import contextlib
import json
import logging
import resource
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from databases import close
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from optuna_layerwise.storage import (
    Lease,
    StorageUnusableError,
    ask,
    open_storage,
    renew,
    tell,
    without_waiting,
)

SERVERS = ["postgresql", "mysql"]


class Gate:
    """A real connection to a server, through a port that can be shut and opened again."""

    def __init__(self, url: str) -> None:
        self._url = sqlalchemy.make_url(url)
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self.port = 0
        self.open()

    @property
    def url(self) -> str:
        address = self._url.set(host="127.0.0.1", port=self.port)
        return address.render_as_string(hide_password=False)

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        assert self._listener is not None
        for connection in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection((self._url.host, self._url.port))
            self._open += [client, server]
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=pair, daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for connection in (source, sink):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def gate(url: str) -> Iterator[Gate]:
    gate = Gate(url)
    yield gate
    gate.shut()


def backend(study: optuna.Study) -> RDBStorage:
    found = getattr(study._storage, "_backend", None)
    assert isinstance(found, RDBStorage)
    return found


@pytest.mark.parametrize("url", SERVERS, indirect=True)
def test_a_result_is_stored_once_a_server_that_was_away_is_back(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    study = optuna.create_study(storage=open_storage(gate.url, patience_seconds=60))
    lease = Lease.of_this_process(60)
    trial = ask(study, lease, below=1)
    assert trial is not None
    x = trial.suggest_float("x", 0, 1)
    gate.shut()
    threading.Timer(2.0, gate.open).start()
    with caplog.at_level(logging.WARNING):
        tell(study, trial, lease, TrialState.COMPLETE, [x])
    assert [(t.state, t.value, t.params) for t in study.trials] == [
        (TrialState.COMPLETE, x, {"x": x})
    ]
    said = [record.getMessage() for record in caplog.records]
    said = [line for line in said if "waiting up to 60" in line]
    assert len(said) == 1 and "\n" not in said[0]
    assert any("answers again" in record.getMessage() for record in caplog.records)
    close(study._storage)


@pytest.mark.parametrize("url", SERVERS, indirect=True)
def test_a_server_that_stays_away_is_one_clear_error_after_the_stated_time(
    gate: Gate, url: str
) -> None:
    study = optuna.create_study(storage=open_storage(gate.url, patience_seconds=1.5))
    gate.shut()
    before = time.monotonic()
    with pytest.raises(StorageUnusableError, match=r"gave up on .* after \d+ seconds: ") as caught:
        study.set_user_attr("a", 1)
    assert 1.5 <= time.monotonic() - before < 10
    assert "\n" not in str(caught.value)
    with without_waiting(), pytest.raises(StorageUnusableError):
        study.set_user_attr("a", 1)
    with pytest.raises(ConnectionError, match="cannot open the storage"):
        open_storage(gate.url)
    close(study._storage)
    threading.Timer(1.0, gate.open).start()
    close(open_storage(gate.url, wait=True, patience_seconds=30))
    unknown = sqlalchemy.make_url(url).set(database="olw_no_such_database")
    before = time.monotonic()
    with pytest.raises(ConnectionError, match="olw_no_such_database"):
        open_storage(unknown.render_as_string(hide_password=False), wait=True)
    assert time.monotonic() - before < 30, "waiting would not help"


@pytest.mark.parametrize("url", ["sqlite", "postgresql", "mysql"], indirect=True)
def test_what_was_committed_when_the_connection_broke_is_not_done_twice(url: str) -> None:
    """The answer to a commit is lost: asking, renewing and telling go on all the same."""
    study = optuna.create_study(storage=open_storage(url))
    study.add_trial(optuna.trial.create_trial(state=TrialState.WAITING))
    engine, wrote, broken = backend(study).engine, [False], [0]

    def note(_: object, __: object, statement: str, *___: object) -> None:
        wrote[0] |= not statement.startswith("SELECT")

    def break_after_the_first_commit(connection: sqlalchemy.Connection) -> None:
        if not wrote[0] or broken[0] % 2:
            broken[0] += broken[0] % 2
            return
        connection.connection.commit()
        broken[0] += 1
        lost = sqlite3.OperationalError("the connection is lost")
        raise sqlalchemy.exc.OperationalError("COMMIT", {}, lost, connection_invalidated=True)

    def reset(_: object) -> None:
        wrote[0] = False

    sqlalchemy.event.listen(engine, "before_cursor_execute", note)
    sqlalchemy.event.listen(engine, "begin", reset)
    sqlalchemy.event.listen(engine, "commit", break_after_the_first_commit)
    for number in range(2):  # the first is claimed, the second created
        lease = Lease.of_this_process(60)
        trial = ask(study, lease, below=2)
        assert trial is not None and trial.number == number
        x = trial.suggest_float("x", 0, 1)
        assert renew(trial, lease.renewed())
        tell(study, trial, lease, TrialState.COMPLETE, [x])
    assert broken[0] >= 2 * 6
    assert [t.values for t in study.trials] == [[t.params["x"]] for t in study.trials]
    assert {t.state for t in study.trials} == {TrialState.COMPLETE}
    assert len(study.trials) == 2
    close(study._storage)


def test_a_full_disk_is_one_clear_error_that_takes_nothing_with_it(tmp_path: Path) -> None:
    study = optuna.create_study(
        storage=open_storage(f"sqlite:///{tmp_path}/study.db", patience_seconds=0.3)
    )
    study.tell(study.ask(), 1.0)

    @sqlalchemy.event.listens_for(backend(study).engine, "checkout")
    def fill(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # it then means the pages there are

    with pytest.raises(StorageUnusableError, match="database or disk is full"):
        for number in range(1000):
            study.set_user_attr(f"a{number}", "x" * 1000)
    assert [t.value for t in study.trials] == [1.0]
    sqlalchemy.event.remove(backend(study).engine, "checkout", fill)
    sqlalchemy.event.listen(
        backend(study).engine,
        "checkout",
        lambda connection, *_: connection.execute("PRAGMA max_page_count = 1000000"),
    )
    study.tell(study.ask(), 2.0)
    assert [t.value for t in study.trials] == [1.0, 2.0]
    close(study._storage)


def test_a_full_disk_leaves_no_half_line_in_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    study = optuna.create_study(storage=open_storage(str(path), patience_seconds=0.2))
    study.tell(study.ask(), 1.0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50, limits[1]))
    try:
        with pytest.raises(StorageUnusableError, match=r"gave up on .*study\.log"):
            study.set_user_attr("a", "x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert all(json.loads(line) for line in path.read_text().splitlines())
    study.tell(study.ask(), 2.0)
    again = optuna.load_study(study_name=None, storage=open_storage(str(path)))
    assert [t.value for t in again.trials] == [1.0, 2.0]


def test_what_a_killed_process_left_of_a_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    study = optuna.create_study(storage=open_storage(f"journal:///{path}"))
    study.tell(study.ask(), 1.0)
    with path.open("a") as file:
        file.write('{"op_code":8,"worker_id":"x","trial_')
    assert [t.value for t in study.trials] == [1.0]
    study.tell(study.ask(), 2.0)
    again = optuna.load_study(study_name=None, storage=open_storage(f"journal:///{path}"))
    assert [t.value for t in again.trials] == [1.0, 2.0]


def test_a_database_that_takes_no_writes_is_one_clear_error_at_once(tmp_path: Path) -> None:
    study = optuna.create_study(storage=open_storage(f"sqlite:///{tmp_path}/study.db"))
    sqlalchemy.event.listen(
        backend(study).engine,
        "checkout",
        lambda connection, *_: connection.execute("PRAGMA query_only = 1"),
    )
    with pytest.raises(StorageUnusableError, match=r"cannot write to .*study\.db: attempt"):
        study.set_user_attr("a", 1)
    close(study._storage)
