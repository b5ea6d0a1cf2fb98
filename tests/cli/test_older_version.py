"""Studies of version 0.1.0 (commit 31f9856), kept as SQL, still open, resume and report."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from commands import Cli, load
from optuna.trial import TrialState

DATABASE = "optuna-layerwise.db"
DUMP = Path(__file__).with_name("studies_0_1_0.sql")


@pytest.fixture(autouse=True)
def older_database(cli: Cli, tmp_path: Path) -> None:
    """The database in the command's folder; its studies' folders lie beside it."""
    with sqlite3.connect(DATABASE) as connection:
        connection.executescript(DUMP.read_text().replace("FOLDER", str(tmp_path)))
    connection.close()


def test_status_and_report_of_an_older_study_say_what_it_found(cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli("status", "--study", "finished", "--json")
    assert (code, err) == (0, "")
    status = json.loads(out)
    assert (status["finished"], status["best"]) == (6, [0.38, 4])
    code, _, err = cli("report", "--study", "finished", "-o", "report.html")
    assert code == 0, err
    assert "trial 4" in Path("report.html").read_text()


def test_an_older_study_that_was_interrupted_is_resumed_to_its_end(cli: Cli) -> None:
    before = {t.number: t.params for t in load("unfinished").trials}
    code, _, err = cli("resume", "--study", "unfinished", "--allow-different")
    assert code == 2
    assert "its database names output" in err
    code, _, err = cli("resume", "--study", "unfinished", "--allow-different", "--trust-paths")
    assert code == 0, err
    trials = load("unfinished").trials
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 12
    assert {n: trials[n].params for n in before} == before


def test_an_older_study_is_drawn_again_as_it_says(cli: Cli) -> None:
    code, out, err = cli("replay", "--study", "finished")
    assert code == 0, out + err
