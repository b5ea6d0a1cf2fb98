"""Optuna's journal file, made for many workers that may die."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import warnings
from collections.abc import Container, Iterator, Sequence
from typing import Any, BinaryIO

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._storage import NOT_FOUND_MSG
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.io.plain import shortened
from optuna_layerwise.storage.journal_lines import (
    LONGEST,
    BadLineError,
    DamagedJournalError,
    damaged,
    fault_of,
    is_begun,
)
from optuna_layerwise.storage.journal_replay import Replay
from optuna_layerwise.storage.outages import PATIENCE_SECONDS, persist

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

TORN_SECONDS = 0.2
"""How long nobody writes what is left of a line before it is cut off."""
_BLOCK = 2**16
_held = threading.local()
"""The files that this thread has locked, by their paths."""


class JournalFile(JournalFileBackend):
    """A file of one line per change.

    As Optuna's, but the lock is one that the operating system releases when its process dies,
    and what a dead process, a power cut or a full disk left of a line is cut off before the next
    line. Readers skip such an end, but they would stumble over it once a line had followed.
    """

    def __init__(self, path: str, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        super().__init__(path)
        self.patience_seconds = patience_seconds
        self._read = (0, 0)  # lines and bytes

    @property
    def path(self) -> str:
        """Where it is."""
        return self._file_path

    def lines(self, number: int) -> Iterator[bytes]:
        """The lines that follow so many; the last one comes when it is whole.

        Raises:
            DamagedJournalError: if the file does not go on as a journal does.
        """
        known, position = self._read if self._read[0] == number else (0, 0)
        with open(self._file_path, "rb") as file:
            if os.fstat(file.fileno()).st_size < position:
                raise damaged(self.path, known + 1, "it is gone: the file was cut off")
            file.seek(position)
            while line := file.readline(LONGEST + 1):
                known += 1
                if len(line) > LONGEST:
                    raise damaged(self.path, known, f"it is longer than {LONGEST} bytes")
                if not line.endswith(b"\n"):
                    if not is_begun(line, first=known == 1):
                        raise damaged(self.path, known, f"it is no record: {shortened(line)}")
                    return
                position += len(line)
                if known > number:
                    self._read = known, position
                    yield line

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """All of them, or none.

        Raises:
            ValueError: if one has something that would make the study unreadable.
        """
        lines = [json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs]
        for line in lines:
            if fault := fault_of(line):
                raise ValueError(f"this cannot be stored in a journal: {fault}")
        if fcntl is None:
            super().append_logs(logs)
            return
        persist(
            lambda again: self._append(b"".join(lines)),
            place=self._file_path,
            seconds=self.patience_seconds,
        )

    @contextlib.contextmanager
    def locked(self) -> Iterator[BinaryIO | None]:
        """Nobody else writes meanwhile, on this host or, where the file system tells, another.

        Within one thread, a lock inside a lock is the same one.
        """
        held: dict[str, BinaryIO] = _held.__dict__
        if fcntl is None or self._file_path in held:
            yield held.get(self._file_path)
            return
        with open(self._file_path, "a+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            held[self._file_path] = file
            try:
                yield file
            finally:
                del held[self._file_path]
                fcntl.flock(file, fcntl.LOCK_UN)  # a process forked meanwhile has the file open

    def _append(self, lines: bytes) -> None:
        with self.locked() as file:
            assert file is not None
            end = self._cut_torn_line(file)
            try:
                written = file.write(lines)
                if written < len(lines):
                    written += file.write(lines[written:])  # says why
                assert written == len(lines), "the disk takes a part, and does not say why"
            except BaseException:
                file.truncate(end)
                raise
            os.fsync(file.fileno())

    def _cut_torn_line(self, file: BinaryIO) -> int:
        """Returns where the last whole line ends then."""
        end = file.seek(0, os.SEEK_END)
        if _last_byte(file, end) in (b"\n", b""):
            return end
        while True:  # another program, with Optuna's own lock, may be writing it
            time.sleep(TORN_SECONDS)
            now = file.seek(0, os.SEEK_END)
            if _last_byte(file, now) in (b"\n", b""):
                return now
            if now == end:
                break
            end = now
        position = _end_of_last_line(file, end)
        file.seek(position)
        rest = file.read()
        if not is_begun(rest, first=position == 0):
            raise damaged(self.path, None, f"it is no record: {shortened(rest)}")
        if not fault_of(rest):  # editors leave a file without its last end of a line
            return end + file.write(b"\n")
        file.truncate(position)
        return position


class FileJournalStorage(JournalStorage):
    """Studies in a `JournalFile`; see `Replay` for those that a wrong line makes unreadable."""

    _backend: JournalFile
    _replay_result: Replay

    def __init__(self, log_storage: JournalFile) -> None:
        super().__init__(log_storage)
        self._thread_lock = threading.RLock()  # type: ignore[assignment]

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self._thread_lock = threading.RLock()  # type: ignore[assignment]

    def studies_with_faults(self) -> list[tuple[FrozenStudy, str]]:
        """All studies, and what makes one unreadable, or nothing."""
        with self._thread_lock:
            self._sync_with_backend()
            replay = self._replay_result
            return [(s, replay.fault_of(s._study_id)) for s in replay.get_all_studies()]

    def wrong_attributes(self, study_id: int) -> list[tuple[FrozenTrial | None, str, str, str]]:
        """See `Replay`."""
        with self._thread_lock:
            self._sync_with_backend()
            return list(self._replay_result.wrong_attributes(study_id))

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """As Optuna's, of a study that can be read, as all that follows."""
        directions = super().get_study_directions(study_id)
        self._refuse_faults(study_id, trials=False)
        return directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Of a study that can be read."""
        attributes = super().get_study_user_attrs(study_id)
        self._refuse_faults(study_id, trials=False)
        return attributes

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Of a study that can be read."""
        attributes = super().get_study_system_attrs(study_id)
        self._refuse_faults(study_id, trials=False)
        return attributes

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Of a study whose trials can be read."""
        trial = super().get_trial(trial_id)
        self._refuse_faults(self._replay_result._trial_id_to_study_id[trial_id], trials=True)
        return trial

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Of a study whose trials can be read."""
        trials = super().get_all_trials(study_id, deepcopy, states)
        self._refuse_faults(study_id, trials=True)
        return trials

    @property
    def path(self) -> str:
        """Of the file."""
        return self._backend._file_path

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """What is read inside is still so when something is written inside."""
        with self._thread_lock, self._backend.locked():
            yield

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """As Optuna's, but a claim is not believed because the trial was claimed before.

        Optuna takes a trial for claimed if it is the last one that this thread has claimed,
        which is also true of one that was given back and is now claimed by someone else.
        """
        if state == TrialState.RUNNING:
            with self._thread_lock:
                replay = self._replay_result
                replay._worker_id_to_owned_trial_id.pop(replay.worker_id, None)
        return super().set_trial_state_values(trial_id, state, values)

    def _refuse_faults(self, study_id: int, *, trials: bool) -> None:
        replay = self._replay_result
        fault = replay.fault_of(study_id, trials=trials)
        if fault and study_id in replay._studies:
            name = replay.get_study(study_id).study_name
            raise DamagedJournalError(f"study {name!r} cannot be read: {fault}")

    def _sync_with_backend(self) -> None:
        if not isinstance(self._replay_result, Replay):  # new, or from another process
            self._replay_result = Replay(self._worker_id_prefix)
        replay, path = self._replay_result, self._backend.path
        replay.begin()
        strays = len(replay.strays)
        for line in self._backend.lines(replay.log_number_read):
            try:
                replay.apply_line(line)
            except BadLineError as error:
                raise damaged(path, replay.log_number_read + 1, str(error)) from None
        if not strays and replay.strays:
            number, what = next(iter(replay.strays.items()))
            warnings.warn(
                f"line {number} of the journal {path!r} is about {what}, which was never created: "
                "lines before it may be lost; `optuna-layerwise doctor` says more",
                stacklevel=4,
            )

    def _write_log(self, op_code: int, extra_fields: dict[str, Any]) -> None:
        """As Optuna's, which writes of studies and trials that there are not, too."""
        if not self._exists(extra_fields):
            self._sync_with_backend()
            if not self._exists(extra_fields):
                raise KeyError(NOT_FOUND_MSG)
        super()._write_log(op_code, extra_fields)

    def _exists(self, fields: dict[str, Any]) -> bool:
        replay, study, trial = self._replay_result, fields.get("study_id"), fields.get("trial_id")
        known = study is None or study in replay._studies
        return known and (trial is None or trial in replay._trials)


def _last_byte(file: BinaryIO, end: int) -> bytes:
    file.seek(max(end - 1, 0))
    return file.read(1) if end else b""


def _end_of_last_line(file: BinaryIO, end: int) -> int:
    """Where the last whole line ends, in a file that is so long."""
    while end:
        start = max(end - _BLOCK, 0)
        file.seek(start)
        if (found := file.read(end - start).rfind(b"\n")) >= 0:
            return start + found + 1
        end = start
    return 0
