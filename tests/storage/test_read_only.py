"""What only reads changes nothing, and nothing is opened before it was inspected."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from databases import close

from optuna_layerwise.storage import (
    OtherSchemaError,
    check_writable,
    open_pictured,
    open_storage,
    open_to_read,
    picture_of,
    study_names,
    upgrade_schema,
)

OLD = sorted((Path(__file__).parent / "old").glob("*.sql"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database with one study, such as workers have used."""
    path = tmp_path / "study.db"
    storage = open_storage(f"sqlite:///{path}")
    optuna.create_study(storage=storage, study_name="s").optimize(lambda trial: 1.0, n_trials=2)
    close(storage)
    return path


def made(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(script)
    return path


def content(folder: Path) -> dict[str, bytes]:
    """All files, but for the index of a log, in which readers note where they are."""
    return {f.name: f.read_bytes() for f in folder.iterdir() if not f.name.endswith("-shm")}


def read(path: Path) -> int:
    storage = open_storage(f"sqlite:///{path}", read_only=True)
    trials = optuna.load_study(study_name="s", storage=storage).trials
    close(storage)
    pictured = open_pictured(picture_of(open_to_read(f"sqlite:///{path}")), "s")
    assert pictured.trials == trials
    return len(trials)


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_reading_leaves_a_file_and_its_folder_byte_for_byte(file: Path, mode: str) -> None:
    with closing(sqlite3.connect(file)) as database:
        assert database.execute(f"PRAGMA journal_mode={mode}").fetchone() == (mode,)
    before = content(file.parent)
    assert read(file) == 2
    assert content(file.parent) == before
    assert os.listdir(file.parent) == [file.name]


def test_what_a_living_and_a_dead_writer_have_in_the_log_is_read(
    file: Path, tmp_path: Path
) -> None:
    (tmp_path / "dead").mkdir()
    (tmp_path / "copied").mkdir()
    with closing(sqlite3.connect(file)) as writer:
        writer.execute("INSERT INTO trials (number, study_id, state) VALUES (2, 1, 'WAITING')")
        writer.commit()
        for end in ("", "-wal", "-shm"):
            shutil.copy(f"{file}{end}", tmp_path / "dead")
            if end != "-shm":
                shutil.copy(f"{file}{end}", tmp_path / "copied")
        for folder in (file.parent, tmp_path / "dead", tmp_path / "copied"):
            names = sorted(os.listdir(folder))
            before = (folder / "study.db").read_bytes(), (folder / "study.db-wal").read_bytes()
            assert read(folder / "study.db") == 3
            assert sorted(os.listdir(folder)) == names
            after = (folder / "study.db").read_bytes(), (folder / "study.db-wal").read_bytes()
            assert after == before


@contextmanager
def read_only_mount(folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)


@pytest.mark.sweep
@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_database_on_a_read_only_disk_can_be_read(
    file: Path, tiny_disk: Callable[[int], Path], mode: str
) -> None:
    folder = tiny_disk(10_000_000)
    with closing(sqlite3.connect(file)) as database:
        database.execute(f"PRAGMA journal_mode={mode}")
    shutil.copy(file, folder / "study.db")
    with read_only_mount(folder):
        assert read(folder / "study.db") == 2
        assert os.listdir(folder) == ["study.db"]


@pytest.mark.parametrize("read_only", [True, False])
def test_an_application_s_own_database_gets_no_tables(tmp_path: Path, read_only: bool) -> None:
    path = made(tmp_path / "app.db", "CREATE TABLE users (name); CREATE TABLE trials (nr);")
    before = content(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no study in"):
        open_storage(f"sqlite:///{path}", create=False, read_only=read_only)
    with pytest.raises(OtherSchemaError, match="tables of another program"):
        open_storage(f"sqlite:///{path}")
    assert content(tmp_path) == before


@pytest.mark.parametrize("url", ["postgresql", "mysql"], indirect=True)
def test_an_empty_database_of_a_server_gets_no_tables_by_reading(url: str) -> None:
    with pytest.raises(FileNotFoundError, match="there is no study in"):
        open_storage(url, read_only=True)
    assert tables(url) == []
    writing = open_storage(url)
    optuna.create_study(storage=writing, study_name="s")
    reading = open_storage(url, read_only=True)
    with pytest.raises(optuna.exceptions.StorageInternalError):
        optuna.create_study(storage=reading, study_name="t")
    assert study_names(reading) == ["s"]
    close(reading)
    close(writing)


def tables(url: str) -> list[str]:
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    names = sqlalchemy.inspect(engine).get_table_names()
    engine.dispose()
    return names


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_role_that_may_only_select_can_read_and_is_told_that_it_cannot_write(url: str) -> None:
    writing = open_storage(url)
    optuna.create_study(storage=writing, study_name="s").optimize(lambda trial: 1.0, n_trials=1)
    with writing._backend.engine.begin() as connection:  # type: ignore[attr-defined]
        for statement in (
            "CREATE ROLE olw_reader LOGIN PASSWORD 'x'",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO olw_reader",
        ):
            connection.execute(sqlalchemy.text(statement))
    try:
        address = sqlalchemy.make_url(url).set(username="olw_reader", password="x")
        reading = open_storage(address.render_as_string(hide_password=False), read_only=True)
        assert len(optuna.load_study(study_name="s", storage=reading).trials) == 1
        close(reading)
        refused = open_storage(address.render_as_string(hide_password=False))
        with pytest.raises(ConnectionError, match=r"cannot write to .*permission denied for tab"):
            check_writable(optuna.load_study(study_name="s", storage=refused))
        close(refused)
        check_writable(optuna.load_study(study_name="s", storage=writing))
        assert len(optuna.load_study(study_name="s", storage=writing).trials) == 1
    finally:
        with writing._backend.engine.begin() as connection:  # type: ignore[attr-defined]
            connection.execute(sqlalchemy.text("DROP OWNED BY olw_reader"))
            connection.execute(sqlalchemy.text("DROP ROLE olw_reader"))
        close(writing)


@pytest.mark.sweep
@pytest.mark.parametrize("dump", OLD, ids=lambda dump: dump.stem)
def test_a_database_of_an_old_optuna_is_untouched_until_it_is_upgraded_whole(
    dump: Path, tmp_path: Path
) -> None:
    path = made(tmp_path / "study.db", dump.read_text())
    before = content(tmp_path)
    for read_only in (True, False):
        with pytest.raises(OtherSchemaError, match=r"doctor --repair` upgrades"):
            open_storage(f"sqlite:///{path}", read_only=read_only)
    with pytest.raises(OtherSchemaError, match=r"doctor --repair` upgrades"):
        open_to_read(f"sqlite:///{path}")
    assert content(tmp_path) == before
    kept = upgrade_schema(f"sqlite:///{path}")
    assert Path(kept).read_bytes() == before["study.db"]
    assert sorted(content(tmp_path)) == ["study.db", "study.db.before-upgrade"]
    storage = open_storage(f"sqlite:///{path}")
    study = optuna.load_study(study_name="leaves", storage=storage)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 2 + ["FAIL", "COMPLETE"]
    first = study.trials[0]
    assert first.params["x"] == 0.5488135039273248
    assert first.value == first.params["x"] + first.params["n"]
    assert first.intermediate_values == {1: first.params["x"]}
    assert (study.user_attrs, first.user_attrs) == ({"a": [1, 2]}, {"note": {"k": 1}})
    study.optimize(lambda trial: trial.suggest_float("y", 0, 1), n_trials=1)
    close(storage)


def test_what_cannot_be_upgraded_stays_byte_for_byte(tmp_path: Path) -> None:
    path = made(tmp_path / "study.db", OLD[0].read_text() + "DROP TABLE trial_params;")
    before = content(tmp_path)
    with pytest.raises(ConnectionError, match="it is as it was"):
        upgrade_schema(f"sqlite:///{path}")
    assert content(tmp_path) == before
