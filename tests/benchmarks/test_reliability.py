"""The benchmarks of reliability, shortened; and what of them is committed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.records import ROOT, read
from benchmarks.reliability import hostile, kills, table, throughput, together
from benchmarks.reliability.figures import PROMISED
from benchmarks.reliability.places import KINDS
from benchmarks.reliability.servers import missing

pytestmark = pytest.mark.slow

COMMITTED = table.RESULTS
BEFORE = "31f9856"
"""The code in which both scripts find what they have to find."""


def test_a_study_under_fire_is_one_line_and_is_not_run_again(tmp_path: Path) -> None:
    output = tmp_path / "kills.jsonl"
    for _ in range(2):
        flags = ["--storages", "journal", "--samplers", "biotune", "--workers", "1"]
        kills.main([*flags, "--kills", "1", "--trials", "4", "--output", str(output)])
    [record] = read(output)
    assert (record["kills"], record["finished"], record["identical"]) == (1, 4, True)
    assert record["commit"] and record["packages"]["optuna"]
    table.main(["--results", str(tmp_path)])
    assert (
        "| journal | biotune | 1 | 1 | 4 | 0 | 0 | 0 | 0 | 0 | 0 |"
        in (tmp_path / "reliability.md").read_text()
    )


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_two_workers_of_each_contestant_share_their_trials(kind: str, tmp_path: Path) -> None:
    if reason := missing(kind):
        pytest.skip(f"a {kind} server of our own cannot be made here: {reason}")
    output = tmp_path / "throughput.jsonl"
    flags = ["--storages", kind, "--trials", "8", "--workers", "2", "--many", "3"]
    throughput.main([*flags, "--turns", "1", "--output", str(output)])
    records = read(output)
    assert [record["who"] for record in records] == [*throughput.WHO, throughput.MANY]
    for record in records:
        assert record["finished"] == 8 and not record["errors"]
        assert record["statements_per_trial"] > record["commits_per_trial"] > 1
        assert record["ms_per_trial"]["server, CPU"] > 0
    assert f"| {kind} | 2 | optimize, Random | 1 | 8 |" in table.table(tmp_path)


def test_what_is_committed_keeps_every_promise() -> None:
    records = [
        record
        for name in ("kills", "outages", "hosts")
        for record in read(COMMITTED / f"{name}.jsonl")
    ]
    assert sum(record["kills"] for record in read(COMMITTED / "kills.jsonl")) >= 200
    for record in records:
        assert {name: record[name] for name in PROMISED} == dict.fromkeys(PROMISED, 0), record
        assert record.get("identical", True), record
        assert not record["dirty"]
    assert (COMMITTED / "reliability.md").read_text() == table.table(COMMITTED)


def test_what_is_committed_of_two_commands_and_of_hostile_content_has_no_fault() -> None:
    for script, harmless in ((together, {"turned_away"}), (hostile, {"made_outside"})):
        records = read(COMMITTED / script.OUTPUT.name)
        faults = set(script.COUNTED) - harmless
        now = [record for record in records if not record["commit"].startswith(BEFORE)]
        then = [record for record in records if record["commit"].startswith(BEFORE)]
        assert now and not any(record["dirty"] for record in records)
        # A place in which a fault was found, and mended, has been run again.
        newest = {record.get("place", place): record for place, record in enumerate(now)}
        for record in newest.values():
            assert {name: record[name] for name in faults} == dict.fromkeys(faults, 0), record
        assert sum(record[name] for record in then for name in faults), "what finds nothing"
    rounds = read(COMMITTED / "together.jsonl")
    assert {record["storage"] for record in rounds} == set(KINDS)
    done = {tuple(record["pair"]) for record in rounds if record["storage"] == "postgresql"}
    assert done == set(together.PAIRS)


def test_two_commands_in_one_study_agree_on_its_settings(tmp_path: Path) -> None:
    output = tmp_path / "together.jsonl"
    flags = ["--storages", "sqlite", "--actions", "create", "other tune", "--rounds", "1"]
    _in_a_child(together.main, [*flags, "--output", str(output)])
    records = read(output)
    assert [record["pair"] for record in records] == [
        ["other tune", "other tune"],
        ["other tune", "create"],
        ["create", "create"],
    ]
    for record in records:
        faults = {name: record[name] for name in together.COUNTED if name != "turned_away"}
        assert faults == dict.fromkeys(faults, 0), record


def test_code_that_a_stored_network_names_is_not_run(tmp_path: Path) -> None:
    output = tmp_path / "hostile.jsonl"
    flags = ["--places", "study_user_attributes.olw:settings", "--most", "0"]
    _in_a_child(hostile.main, [*flags, "--commands", "replay", "--output", str(output)])
    [record] = read(output)
    assert record["cases"] == record["values"] > 0
    faults = {name: record[name] for name in hostile.COUNTED}
    assert faults == dict.fromkeys(hostile.COUNTED, 0)


def test_every_command_that_takes_a_database_is_given_hostile_ones() -> None:
    run = {command[0] for command in hostile.commands()}
    assert run >= {"tune", "resume", "worker", "doctor", "report", "export", "dashboard"}
    assert run & set(hostile.SKIPPED) == set()


def _in_a_child(script: Callable[[list[str]], None], flags: list[str]) -> None:
    """Scripts that fork run where no thread of another test is alive."""
    command = [sys.executable, "-m", script.__module__, *flags]
    subprocess.run(command, check=True, cwd=ROOT, timeout=300)
