"""Commands that only read leave a database byte for byte, with or without a log."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from commands import Cli

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
    import optuna

    from optuna_layerwise.storage import open_storage

    (tmp_path / "folder").mkdir()
    url = "journal:///folder/study.log"
    optuna.create_study(storage=open_storage(url), study_name="s")
    for command in ("status", "doctor", "compare"):
        assert cli(command, "--storage", url)[0] == 0
        assert [path.name for path in (tmp_path / "folder").iterdir()] == ["study.log"]
