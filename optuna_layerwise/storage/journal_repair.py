"""What is wrong with the lines of a journal, and cutting off those that nothing sound follows."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from typing import Literal

from optuna.storages.journal._file import get_lock_file
from optuna.storages.journal._storage import JournalOperation

from optuna_layerwise.storage.journal import TORN_SECONDS, JournalFile
from optuna_layerwise.storage.journal_lines import (
    LONGEST,
    BadLineError,
    DamagedJournalError,
    NewerLineError,
    fault_of,
    is_begun,
)
from optuna_layerwise.storage.journal_replay import Replay

_MOST = 20
_OPERATION = re.compile(rb'"op_code" ?: ?(\d{1,2})\b')
_SUBJECT = re.compile(rb'"(trial_id|study_id)" ?: ?(\d{1,15})\b')
_NAME = re.compile(
    rb'"(?:(?:user|system)_attr" ?: ?\{|param_name" ?:|study_name" ?:) ?"([^"\\]{1,60})"'
)


@dataclasses.dataclass(frozen=True)
class WrongLine:
    """A line that cannot be used.

    Args:
        number: From 1.
        what: Is wrong with it.
        about: What it was to do, as far as that can be seen; else empty.
        kind: It ``ends`` the reading, as does one of a ``newer`` Optuna, or makes one ``study``
            unreadable, or is a ``stray`` that is passed over, or is ``torn``: readers wait for
            its rest, and the next writer removes it.
    """

    number: int
    what: str
    about: str
    kind: Literal["ends", "newer", "study", "stray", "torn"]


@dataclasses.dataclass(frozen=True)
class JournalDamage:
    """The wrong lines of a journal.

    Args:
        inside: The first ones that sound lines follow, or all of a file that has no sound line.
        tail: The first ones that no sound line follows; they can be cut off.
        cut: Lines and bytes of the whole tail.
        sound: Bytes of the file before the tail.
    """

    inside: Sequence[WrongLine]
    tail: Sequence[WrongLine]
    cut: tuple[int, int]
    sound: int


def examine_journal(path: str) -> JournalDamage | None:
    """What is wrong with a journal; ``None`` if nothing."""
    size = os.path.getsize(path)
    found = _examined(path)
    if found is not None and any(line.kind == "torn" for line in found.tail):
        time.sleep(TORN_SECONDS)  # somebody may be writing it
        if os.path.getsize(path) != size:
            return _examined(path)
    return found


def repair_journal(path: str) -> str:
    """Cut the tail of wrong lines off, while nobody else writes; returns the path of a copy.

    Raises:
        DamagedJournalError: if there is none, or there are wrong lines inside.
    """
    file = JournalFile(path)
    with get_lock_file(file._lock), file.locked():  # Optuna's own lock, too
        damage = _examined(path)
        if (
            damage is None
            or not damage.tail
            or any(x.kind in ("ends", "newer") for x in damage.inside)
        ):
            raise DamagedJournalError(f"the end of the journal {path!r} has changed meanwhile")
        copy = _free_name(path)
        shutil.copyfile(path, copy)
        with open(copy, "rb+") as kept:
            os.fsync(kept.fileno())
        with open(path, "rb+") as repaired:
            repaired.truncate(damage.sound)
            os.fsync(repaired.fileno())
    return copy


def _examined(path: str) -> JournalDamage | None:
    replay = Replay(os.urandom(8).hex())
    inside: list[WrongLine] = []
    tail: list[WrongLine] = []
    position = sound = in_tail = 0
    for number, line in enumerate(_lines(path), 1):
        position += len(line)
        replay.log_number_read = number - 1
        wrong = _wrong(replay, number, line)
        if wrong is not None and wrong.kind != "newer":
            in_tail += 1
            tail += [wrong] if len(tail) < _MOST else []
        else:
            sound, in_tail = position, 0
            inside, tail = (inside + tail + ([] if wrong is None else [wrong]))[:_MOST], []
    if not (inside or tail):
        return None
    if not sound and not all(line.kind == "torn" for line in tail):
        return JournalDamage(tail, [], (0, 0), 0)  # it may be no journal at all
    return JournalDamage(inside, tail, (in_tail, position - sound), sound)


def _wrong(replay: Replay, number: int, line: bytes) -> WrongLine | None:
    about = _about(replay, line)
    if not line.endswith(b"\n") and len(line) <= LONGEST:
        if not fault_of(line):
            return None  # the next writer gives it its end
        if is_begun(line, first=number == 1):
            what = "it is zeros" if not line.strip(b"\0") else "it breaks off"
            return WrongLine(number, f"{what}, as after a kill or a power cut", about, "torn")
    try:
        fault = replay.apply_line(line)
    except NewerLineError as error:
        return WrongLine(number, str(error), about, "newer")
    except BadLineError as error:
        return WrongLine(number, str(error), about, "ends")
    if number in replay.strays:
        return WrongLine(number, fault, about, "stray")
    return WrongLine(number, fault, about, "study") if fault else None


def _about(replay: Replay, line: bytes) -> str:
    """What a line, or what is there of it, was to do."""
    head = line[:4096]
    operation, subject, name = (p.search(head) for p in (_OPERATION, _SUBJECT, _NAME))
    if operation is None or int(operation[1]) not in list(JournalOperation):
        return ""
    words = JournalOperation(int(operation[1])).name.lower().replace("_", " ")
    words += f" {name[1].decode(errors='replace')!r}" if name else ""
    if subject is None:
        return words
    kind, number = subject[1].decode(), int(subject[2])
    if kind == "trial_id":
        trial = replay._trials.get(number)
        words += f" of trial {trial.number}" if trial else f" of trial_id {number}"
        number = replay._trial_id_to_study_id.get(number, -1)
    study = replay._studies.get(number)
    return words + (f" of study {study.study_name!r}" if study else "")


def _lines(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while line := file.readline(LONGEST + 1):
            yield line


def _free_name(path: str) -> str:
    """Beside the file; nothing is overwritten."""
    name, number = f"{path}.before-repair", 1
    while os.path.exists(name):
        name, number = f"{path}.before-repair-{number}", number + 1
    return name
