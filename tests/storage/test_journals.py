"""Journals that somebody or something has damaged: named by line, read where they can be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import optuna
import pytest
from forking import CONTEXT
from optuna.trial import TrialState

from optuna_layerwise.storage import (
    DamagedJournalError,
    all_trials,
    open_pictured,
    open_storage,
    picture_of,
    refused_of,
    repair_journal,
)
from optuna_layerwise.storage.journal import JournalFile
from optuna_layerwise.studies import open_study

DEEP = b"[" * 10_000 + b"]" * 10_000


def line(**fields: object) -> bytes:
    return json.dumps({"worker_id": "w", **fields}).encode() + b"\n"


def attribute(value: bytes) -> bytes:
    """A line about study 1."""
    return b'{"op_code":2,"worker_id":"w","study_id":1,"user_attr":{"k":' + value + b"}}\n"


def trial(**fields: object) -> bytes:
    """A line that creates a trial of study 1."""
    return line(op_code=4, study_id=1, datetime_start=None, **{"state": 0, **fields})


NOT_SAID_OF_WHAT = {
    "a list": b"[1]\n",
    "a number": b"5\n",
    "null": b"null\n",
    "no op_code": b"{}\n",
    "an unknown op_code": line(op_code=77),
    "true for an op_code": line(op_code=True, study_id=0),
    "text for an id": line(op_code=2, study_id="1", user_attr={"a": 1}),
    "NaN for an id": line(op_code=2, study_id=float("nan"), user_attr={"a": 1}),
    "a number for a name": line(op_code=0, study_name=5, directions=[1]),
    "a name twice": b'{"op_code":2,"op_code":1,"worker_id":"w","study_id":0}\n',
    "blank": b"\n",
    "garbage": b"hello world\n",
    "no text": b"\xff\xfe\x00\x01\n",
    "zeros before a record": b"\0" * 64 + line(op_code=2, study_id=0, user_attr={"z": 1}),
    "half a line before a line": b'{"op_code":8,"wor' + line(op_code=1, study_id=1),
}
"""Whatever is wrong with it, nobody knows which study it is about."""
OF_ONE_STUDY = {
    "nested 10,000 levels deep": attribute(DEEP),
    "nested 200 levels deep": attribute(b"[" * 200 + b"]" * 200),
    "a number of 5,000 digits": attribute(b"1" * 5000),
    "half a pair of surrogates": attribute(b'"\\ud800"'),
    "bytes that are no text": attribute(b'"\xff"'),
    "no object of attributes": line(op_code=2, study_id=1, user_attr=[1]),
    "a missing field": line(op_code=2, study_id=1),
    "a distribution that is no JSON": trial(params={"x": 1}, distributions={"x": "{"}),
    "a deep distribution": trial(params={"x": 1}, distributions={"x": DEEP.decode()}),
    "an unknown distribution": trial(
        params={"x": 1}, distributions={"x": '{"name": "Evil", "attributes": {}}'}
    ),
    "an unknown state": trial(state=9),
    "text for a value": trial(state=1, value="high"),
    "text for values": trial(state=1, values=["high"]),
    "null for attributes": trial(user_attrs=None),
    "a time that is none": trial(datetime_complete="yesterday"),
    "a step that is no number": line(op_code=7, trial_id=3, step="x", intermediate_value=0.5),
    "an unknown direction": line(op_code=0, study_name="worse", directions=[9]),
}
"""It ends no other study."""


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Studies 0 to 2: good, bad and better; each has a finished trial and one that runs."""
    path = tmp_path / "study.log"
    for name in ("good", "bad", "better"):
        study = optuna.create_study(study_name=name, storage=open_storage(str(path)))
        for _ in range(2):
            asked = study.ask()
            asked.suggest_float("x", 0, 1)
            asked.report(0.5, 0)
        study.tell(0, 1.0)
    return path


def insert(path: Path, what: bytes, at: int) -> None:
    """Put something before a line."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:at], what, *lines[at:]]))


def states(path: Path, name: str) -> list[TrialState]:
    study = optuna.load_study(study_name=name, storage=open_storage(str(path)))
    return [t.state for t in study.trials]


@pytest.mark.sweep(4)
@pytest.mark.parametrize("what", NOT_SAID_OF_WHAT)
def test_a_line_that_cannot_be_used_is_named_and_nothing_is_written(
    what: str, journal: Path
) -> None:
    sound, opened = journal.read_bytes(), open_storage(str(journal))
    insert(journal, NOT_SAID_OF_WHAT[what], 10**6)
    for _ in range(2):
        with pytest.raises(DamagedJournalError, match="line 25 of the journal"):
            opened.get_all_studies()
    journal.write_bytes(sound)
    insert(journal, NOT_SAID_OF_WHAT[what], 14)
    before = journal.read_bytes()
    for read_only in (True, False):
        with pytest.raises(DamagedJournalError, match="line 15 of the journal .*study.log"):
            open_storage(str(journal), read_only=read_only)
    with pytest.raises(DamagedJournalError, match="line 15 of the journal .*study.log") as error:
        open_study(str(journal), study_name="good")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300
    with pytest.raises(DamagedJournalError):
        repair_journal(str(journal))
    assert journal.read_bytes() == before


@pytest.mark.sweep(4)
@pytest.mark.parametrize("what", OF_ONE_STUDY)
def test_a_line_that_is_wrong_about_one_study_ends_no_other(what: str, journal: Path) -> None:
    insert(journal, OF_ONE_STUDY[what], 10**6)
    with journal.open("ab") as file:  # numbers go on behind it
        file.write(line(op_code=4, study_id=2, datetime_start=None))
        file.write(line(op_code=0, study_name="later", directions=[1]))
    before = journal.read_bytes()
    reading = open_storage(str(journal), read_only=True)
    shown = picture_of(reading)
    [(name, reason)] = refused_of(shown).items()
    assert name in ("bad", "worse")
    assert reason.startswith("line ")
    assert "\n" not in reason and len(reason) < 250
    with pytest.raises(ValueError, match=f"study '{name}' cannot be read: line"):
        open_pictured(shown, name)
    assert [len(all_trials(open_pictured(shown, n))) for n in ("good", "better")] == [2, 3]
    assert open_pictured(shown, "later").trials == []
    assert refused_of(picture_of(reading, ["good"])) == {}
    study = open_study(reading, study_name="good", direction="minimize")
    assert study.best_trial.number == 0
    with pytest.raises(DamagedJournalError, match=f"study '{name}' cannot be read: line"):
        open_study(reading, study_name=name, direction="minimize")
    assert journal.read_bytes()[: len(before)] == before


def test_what_is_about_nothing_that_was_created_is_passed_over_with_a_warning(
    journal: Path,
) -> None:
    insert(journal, line(op_code=8, trial_id=999, user_attr={"a": 1}), 9)
    with pytest.warns(UserWarning, match="line 10 of the journal .* is about trial_id 999"):
        opened = open_storage(str(journal))
    assert len(optuna.load_study(study_name="better", storage=opened).trials) == 2
    before = journal.read_bytes()
    with pytest.raises(KeyError):
        opened.set_trial_user_attr(888, "k", 1)
    assert journal.read_bytes() == before


@pytest.mark.parametrize("change", ["bom", "crlf", "empty"])
def test_what_optuna_reads_is_read(change: str, journal: Path) -> None:
    content = journal.read_bytes()
    changed = {
        "bom": b"\xef\xbb\xbf" + content,
        "crlf": content.replace(b"\n", b"\r\n"),
        "empty": b"",
    }
    journal.write_bytes(changed[change])
    names = [study.study_name for study in open_storage(str(journal)).get_all_studies()]
    assert names == ([] if change == "empty" else ["good", "bad", "better"])


@pytest.mark.parametrize(
    "content",
    [b"\x89PNG\r\n\x1a\n" + bytes(range(256)), b"SQLite format 3\0" + bytes(4000), b"my notes"],
)
def test_a_file_that_is_no_journal_stays_as_it_is(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "notes.log"
    path.write_bytes(content)
    for read_only in (True, False):
        with pytest.raises(DamagedJournalError, match=r"line 1 .*notes\.log.*is it a journal"):
            open_storage(str(path), read_only=read_only)
    with pytest.raises(DamagedJournalError, match="it is no record"):
        JournalFile(str(path)).append_logs([{"op_code": 2, "worker_id": "w", "study_id": 0}])
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "end", [b'{"op_code":8,"worker_id":"x","trial_', b"\0" * 512, b'{"op_co' + b"\0" * 4096]
)
def test_what_a_kill_or_a_power_cut_left_ends_nothing(end: bytes, journal: Path) -> None:
    insert(journal, end, 10**6)
    before = journal.read_bytes()
    assert states(journal, "good") == [TrialState.COMPLETE, TrialState.RUNNING]
    assert journal.read_bytes() == before
    optuna.load_study(study_name="good", storage=open_storage(str(journal))).tell(1, 2.0)
    assert all(json.loads(each) for each in journal.read_text().splitlines())
    assert states(journal, "good") == [TrialState.COMPLETE] * 2


def test_a_last_line_without_its_end_is_completed(journal: Path) -> None:
    study = optuna.load_study(study_name="good", storage=open_storage(str(journal)))
    study.set_user_attr("last", 1)
    journal.write_bytes(journal.read_bytes().rstrip(b"\n"))  # as an editor leaves it
    study = optuna.load_study(study_name="good", storage=open_storage(str(journal)))
    study.set_user_attr("more", 2)
    study = optuna.load_study(study_name="good", storage=open_storage(str(journal)))
    assert study.user_attrs == {"last": 1, "more": 2}


@pytest.mark.slow
def test_a_worker_that_is_killed_while_it_writes_ends_no_study(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    optuna.create_study(study_name="s", storage=open_storage(str(path)))
    code = (
        "import optuna, sys\nfrom optuna_layerwise.storage import open_storage\n"
        "study = optuna.load_study(study_name='s', storage=open_storage(sys.argv[1]))\n"
        "print('ready', flush=True)\n"
        "while True: study.set_user_attr('k', 'x' * 2_000_000)"
    )
    for _ in range(2):
        command = [sys.executable, "-c", code, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout is not None
            worker.stdout.readline()
            time.sleep(0.05)
            worker.send_signal(signal.SIGKILL)
        study = optuna.load_study(study_name="s", storage=open_storage(str(path)))
        study.tell(study.ask(), 1.0)
    assert len(optuna.load_study(study_name="s", storage=open_storage(str(path))).trials) == 2


def _hold(path: str, holds: threading.Event, release: threading.Event) -> None:
    with JournalFile(path).locked():
        holds.set()
        release.wait(30)


def test_a_repair_keeps_a_copy_and_waits_for_who_writes(journal: Path) -> None:
    sound = journal.read_bytes()
    insert(journal, b"[1]\nnonsense\n", 10**6)
    before = journal.read_bytes()
    holds, release = CONTEXT.Event(), CONTEXT.Event()
    writer = CONTEXT.Process(target=_hold, args=(str(journal), holds, release))
    writer.start()
    try:
        assert holds.wait(300)  # it may be the first to start the server of processes
        copies: list[str] = []
        repair = threading.Thread(target=lambda: copies.append(repair_journal(str(journal))))
        repair.start()
        repair.join(0.5)
        assert repair.is_alive() and journal.read_bytes() == before
        release.set()
        repair.join(30)
    finally:
        release.set()
        writer.join(30)
    assert Path(copies[0]).read_bytes() == before
    assert journal.read_bytes() == sound
    assert set(os.listdir(journal.parent)) == {"study.log", "study.log.before-repair"}


def test_nothing_is_stored_that_would_not_be_read(journal: Path) -> None:
    study = optuna.load_study(study_name="good", storage=open_storage(str(journal)))
    deep = json.loads("[" * 150 + "]" * 150)
    for value in (deep, "\ud800"):
        with pytest.raises(ValueError, match="cannot be stored in a journal"):
            study.set_user_attr("k", value)
    assert study.user_attrs == {}


def test_a_trial_of_many_values_is_read_in_time(journal: Path) -> None:
    """Optuna copies all values at each line, which takes minutes."""
    n = 20_000
    with journal.open("ab") as file:
        for step in range(1, n):
            file.write(line(op_code=7, trial_id=3, step=step, intermediate_value=0.5))
        for key in range(n):
            file.write(line(op_code=2, study_id=1, user_attr={str(key): 1}))
    started = time.perf_counter()
    study = optuna.load_study(study_name="bad", storage=open_storage(str(journal)))
    assert len(study.user_attrs) == n
    assert len(all_trials(study)[1].intermediate_values) == n
    assert time.perf_counter() - started < 15


def test_what_was_read_does_not_change_later(journal: Path) -> None:
    study = optuna.load_study(study_name="good", storage=open_storage(str(journal)))
    before = all_trials(study)[1]
    seen = dict(before.user_attrs), dict(before.intermediate_values), study.user_attrs
    other = optuna.load_study(study_name="good", storage=open_storage(str(journal)))
    for number in range(2):
        running = other._storage.get_trial_id_from_study_id_trial_number(0, 1)
        other._storage.set_trial_user_attr(running, f"k{number}", 1)
        other._storage.set_trial_intermediate_value(running, 5 + number, 0.25)
        other.set_user_attr(f"k{number}", 1)
    assert len(all_trials(study)[1].intermediate_values) == 3
    assert (before.user_attrs, before.intermediate_values, {}) == seen
