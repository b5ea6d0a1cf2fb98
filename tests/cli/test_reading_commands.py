"""Commands that only read leave a database byte for byte, with or without a log."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from commands import Cli

from optuna_layerwise.storage import open_storage

DATABASE = Path("optuna-layerwise.db")
STUDY = ("--study", "finished")
COMMANDS = (
    ("status",),
    ("status", *STUDY, "--json"),
    ("doctor",),
    ("doctor", "--replay", *STUDY),
    ("compare", "finished"),
    ("report", *STUDY, "-o", "-"),
    ("replay", *STUDY),
    ("export", *STUDY, "--trial", "1"),
)


@pytest.mark.sweep
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_commands_that_only_read_leave_a_database_byte_for_byte(
    cli: Cli, tmp_path: Path, mode: str
) -> None:
    dump = Path(__file__).with_name("studies_0_1_0.sql").read_text()
    with closing(sqlite3.connect(DATABASE)) as database:
        database.executescript(dump.replace("FOLDER", str(tmp_path)))
        database.execute(f"PRAGMA journal_mode={mode}")
    before = DATABASE.read_bytes()
    for command in COMMANDS:
        code, out, err = cli(*command)
        assert code in (0, 1), f"{command}: {err}"
        assert out, command
        assert DATABASE.read_bytes() == before, command
        assert [path.name for path in Path().glob(f"{DATABASE}-*")] == []


def test_status_of_a_database_of_another_program_makes_no_tables(cli: Cli) -> None:
    with closing(sqlite3.connect(DATABASE)) as database:
        database.execute("CREATE TABLE users (name)")
    before = DATABASE.read_bytes()
    for command in ("status", "doctor", "compare"):
        code, _, err = cli(command)
        assert code == 2
        assert "there is no study in" in err
    assert DATABASE.read_bytes() == before


def test_a_journal_is_read_from_a_folder_that_gets_no_files(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    url = "journal:///folder/study.log"
    optuna.create_study(storage=open_storage(url), study_name="s")
    for command in ("status", "doctor", "compare"):
        assert cli(command, "--storage", url)[0] == 0
        assert [path.name for path in (tmp_path / "folder").iterdir()] == ["study.log"]


@pytest.mark.slow
def test_a_hostile_study_is_named_left_out_and_the_exit_code_says_so(cli: Cli) -> None:
    opened = open_storage(f"sqlite:///{DATABASE}")
    for name in ("good", "bad", "odd", "better"):
        study = optuna.create_study(storage=opened, study_name=name)
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    optuna.load_study(study_name="odd", storage=opened).set_user_attr("olw:control", [7])
    with closing(sqlite3.connect(DATABASE)) as database:
        insert = "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (3, 'k', ?)"
        database.execute(insert, ("[" * 10_000 + "]" * 10_000,))
        database.commit()
    why = "attribute 'k' of trial 0 cannot be read: it is nested more than 100 levels deep"
    code, out, err = cli("status")
    assert code == 1
    assert "good" in out and "better" in out and "bad" not in out
    assert f"study 'bad' was left out: {why}" in err
    assert "study 'odd' was left out" in err and "olw:control" in err
    for command in ("compare", "report"):
        patterns = ("*",) if command == "compare" else ("--study", "*", "-o", "-")
        code, out, err = cli(command, *patterns)
        assert code == 1
        assert "better" in out
        assert f"study 'bad' was left out: {why}" in err
    for command in ("status", "report", "replay", "export", "resume"):
        code, _, err = cli(command, "--study", "bad")
        assert code == 2
        assert err.startswith(f"error: study 'bad' cannot be read: {why}")
    code, out, _ = cli("doctor")
    assert code == 1
    assert f"study 'bad': error: {why}" in out
    assert "study 'odd': error: attribute 'olw:control' is no order" in out
    code, out, _ = cli("doctor", "--repair")
    assert f"study 'bad': repaired: {why}" in out
    assert cli("status")[0] == 0
