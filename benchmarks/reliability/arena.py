"""A database with three studies, and all around it what a command must leave alone."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.reliability.canaries import SECRET, Canaries, digests
from benchmarks.reliability.forked import HUNG, QUICK_END, Running, start
from benchmarks.reliability.hostile_values import ATTRIBUTES, MARKUP, Place

SECONDS = 60.0
TUNE = ["--data", "digits", "--epochs", "1", "--trials", "2", "--finalists", "1"]
TUNE += ["--final-seeds", "1", *QUICK_END]
_MADE = (
    # Study 1 is finalized, 2 is another's, 3 is to be finalized.
    ["tune", *TUNE, "--study", "leaves"],
    ["tune", *TUNE, "--study", "other"],
    ["tune", *TUNE, "--study", "open", "--no-work"],
    ["worker", "--study", "open"],
)
_TARGETS = "study_id IN (1, 3)"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Arena:
    """Studies, their files, and canaries outside.

    Args:
        folder: Exists; `restore` brings all in it back as it was.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "arena"
        self._logs, self._whole, self._ran = folder / "logs", folder / "whole", folder / "ran"
        self._openings = folder / "openings"
        self._work = self.folder / "work"
        self.out = self._work / "out"
        self.database = self._work / "study.db"
        self.url = f"sqlite:///{self.database}"
        self.canaries = Canaries(self.folder / "outside", self._ran)
        for made in (self.out, self._logs):
            made.mkdir(parents=True)
        self.canaries.make()
        for arguments in _MADE:
            running = self.start([*arguments, "--storage", self.url])
            if running.wait(SECONDS) != 0:
                raise RuntimeError(f"the studies could not be made: {running.output}")
        self.folder.rename(self._whole)
        self.restore()
        self._files = digests(self.folder)
        self.remember()

    def start(self, arguments: Sequence[str]) -> Running:
        """A command in the folder of the studies."""
        shutil.rmtree(self._logs)
        self._logs.mkdir()
        self._openings.write_text("")
        log = self._logs / "log"
        return start(arguments, log, folder=self._work, openings=self._openings)

    def restore(self) -> None:
        """All is as it was."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self._whole, self.folder, symlinks=True)
        if self._ran.is_dir():
            self._ran.rmdir()
        self._ran.unlink(missing_ok=True)

    def stored(self, place: Place) -> str | None:
        """The text at a place, in one of the two studies."""
        with _reading(self.database) as connection:
            where, parameters = _where(place)
            query = f"SELECT {place.column} FROM {place.table} WHERE {where}"
            found = connection.execute(query, parameters).fetchone()
            return found[0] if found and isinstance(found[0], str) else None
        return None

    def write(self, place: Place, text: str) -> None:
        """Put a text at a place, in the rows of both studies."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            where, parameters = _where(place)
            changed = f"UPDATE OR IGNORE {place.table} SET {place.column} = ? WHERE {where}"
            updated = connection.execute(changed, (text, *parameters)).rowcount
            if place.key and not updated:
                owner = "study_id" if place.table.startswith("study") else "trial_id"
                owners = "studies" if owner == "study_id" else "trials"
                connection.execute(
                    f"INSERT INTO {place.table} ({owner}, key, value_json) "
                    f"SELECT {owner}, ?, ? FROM {owners} WHERE {_TARGETS}",
                    (place.key, text),
                )
            connection.commit()
        self.remember()

    def remember(self) -> None:
        """What is stored now has to stay."""
        self._other, self._result = self._rows_of_other(), self._stored_result()

    def attempt(self, arguments: Sequence[str]) -> tuple[Counter[str], str]:
        """Run a command; what went wrong, and what it printed."""
        running, served = self.start(arguments), b""
        if arguments[0] == "dashboard":
            served = _visit(running, self.database)
            running.end()
        else:
            running.wait(SECONDS)
        return self._judge(arguments, running, served), running.output

    def _judge(self, arguments: Sequence[str], running: Running, served: bytes) -> Counter[str]:
        output, after = running.output, digests(self.folder)
        kept = [path for path in self._files if not self._may_change(path)]
        new = [path for path in after if path not in self._files]
        opened = len(self._openings.read_text().splitlines())
        pages = [path for path in new if path.endswith((".html", ".md"))]
        leaked = any(self._may_change(path) and _has(path, SECRET) for path in after)
        died = running.code is not None and running.code < 0 and arguments[0] != "dashboard"
        return +Counter(
            run=int(self._ran.exists()),
            served=int(SECRET in output or SECRET.encode() in served or leaked),
            deleted=sum(path not in after for path in kept),
            overwritten=sum(after.get(path) not in (None, self._files[path]) for path in kept),
            made_outside=sum(not self._may_change(path) for path in new),
            opened_twice=max(0, opened - ("open" in arguments)),
            result_changed=int(self._stored_result() != self._result),
            other_changed=int(self._rows_of_other() != self._other),
            escapes=int(bool(_CONTROL.search(output))),
            markup=sum(_has(path, MARKUP) for path in pages),
            tracebacks=int("Traceback (most recent call last)" in output),
            hung=int(running.code == HUNG or died),
        )

    def _may_change(self, path: str) -> bool:
        """Whether commands may write there: as they are told, and in the studies' folders."""
        runs = f"{self._work}/optuna-layerwise-runs/"
        if path.startswith(runs):
            own = path.startswith((f"{runs}leaves/", f"{runs}open/"))
            return own or path not in self._files
        return path.startswith((f"{self.out}/", str(self.database)))

    def _rows_of_other(self) -> str:
        """Trials and attributes of the study that is another's, but for those of dashboards."""
        trials = "trial_id IN (SELECT trial_id FROM trials WHERE study_id = 2)"
        tables = ("trial_params", "trial_values", ATTRIBUTES[2])
        queries = ["SELECT number, state FROM trials WHERE study_id = 2"]
        queries += [f"SELECT * FROM {table} WHERE {trials}" for table in tables]
        queries += [f"SELECT * FROM {ATTRIBUTES[0]} WHERE study_id = 2"]
        with _reading(self.database) as connection:
            return repr([sorted(connection.execute(query), key=repr) for query in queries])
        return "unreadable"

    def _stored_result(self) -> str:
        query = f"SELECT key, value_json FROM {ATTRIBUTES[0]} WHERE study_id = 1"
        with _reading(self.database) as connection:
            rows = connection.execute(f"{query} AND key LIKE 'olw:final%'").fetchall()
            return repr(sorted(row for row in rows if "finalizing" not in row[0]))
        return "unreadable"


def _where(place: Place) -> tuple[str, tuple[str, ...]]:
    """The rows of the two studies; of what is unique, those of one."""
    of_trials = f"trial_id IN (SELECT trial_id FROM trials WHERE {_TARGETS})"
    if place.key:
        owner = of_trials if place.table.startswith("trial") else _TARGETS
        return f"key = ? AND {owner}", (place.key,)
    if place.table in ("version_info", "alembic_version"):
        return "1", ()
    if place.table.startswith("trial_"):
        return of_trials, ()
    return "study_id = 1", ()


@contextlib.contextmanager
def _reading(database: Path) -> Iterator[sqlite3.Connection]:
    address = f"file:{database}?mode=ro"
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(address, uri=True)) as connection,
    ):
        connection.text_factory = lambda text: text.decode(errors="replace")
        yield connection


def _has(path: str, text: str) -> bool:
    with contextlib.suppress(OSError):
        return text.encode() in Path(path).read_bytes()
    return False


def _visit(running: Running, database: Path) -> bytes:
    """Everything that the dashboard gives out."""
    found: list[str] = []
    while not found and not running.is_over() and time.monotonic() - running.started < SECONDS:
        found = re.findall(r"http://[\w.:]+/", running.output)
        time.sleep(0.02)
    if not found:
        return b""
    pages = ["", "dashboard", "api/studies", *(f"api/studies/{n}?after=0" for n in (1, 2, 3))]
    pages += [f"artifacts/1/{_quoted('../../../outside/secret.txt')}"]
    with _reading(database) as connection:
        query = "SELECT study_id, value_json FROM study_system_attributes WHERE key LIKE 'art%'"
        for study, text in connection.execute(query).fetchall():
            with contextlib.suppress(ValueError, TypeError, KeyError):
                artifact = str(json.loads(json.loads(text))["artifact_id"])
                pages += [
                    f"artifacts/{study}/{artifact}",
                    f"artifacts/{study}/{_quoted(artifact)}",
                ]
    got = b""
    for page in pages:
        with contextlib.suppress(Exception):
            got += urllib.request.urlopen(found[0] + page, timeout=20).read()
    return got


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")
