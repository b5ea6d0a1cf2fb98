"""Optuna's journal file, made for many workers that may die."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from optuna_layerwise.storage.outages import PATIENCE_SECONDS, persist

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

_TORN_SECONDS = 0.2
_held = threading.local()
"""The files that this thread has locked, by their paths."""


class JournalFile(JournalFileBackend):
    """A file of one line per change.

    As Optuna's, but the lock is one that the operating system releases when its process dies,
    and what a dead process or a full disk left of a line is cut off before the next line.
    Readers skip such an end, but they would stumble over it once a line had followed.
    """

    def __init__(self, path: str, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        super().__init__(path)
        self.patience_seconds = patience_seconds

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """All of them, or none."""
        if fcntl is None:
            super().append_logs(logs)
            return
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        persist(
            lambda again: self._append(lines),
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
            end = _cut_torn_line(file)
            try:
                written = file.write(lines)
                if written < len(lines):
                    written += file.write(lines[written:])  # says why
                assert written == len(lines), "the disk takes a part, and does not say why"
            except BaseException:
                file.truncate(end)
                raise
            os.fsync(file.fileno())


class FileJournalStorage(JournalStorage):
    """A study in a `JournalFile`."""

    _backend: JournalFile

    def __init__(self, log_storage: JournalFile) -> None:
        super().__init__(log_storage)
        self._thread_lock = threading.RLock()  # type: ignore[assignment]

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self._thread_lock = threading.RLock()  # type: ignore[assignment]

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


def _cut_torn_line(file: BinaryIO) -> int:
    """Returns where the last whole line ends."""
    end = file.seek(0, os.SEEK_END)
    if _last_byte(file, end) in (b"\n", b""):
        return end
    time.sleep(_TORN_SECONDS)  # another program, with Optuna's own lock, may be writing it
    now = file.seek(0, os.SEEK_END)
    if now == end and _last_byte(file, end) != b"\n":
        position = end
        while position and _last_byte(file, position) != b"\n":
            position -= 1
        file.truncate(position)
        return position
    return now


def _last_byte(file: BinaryIO, end: int) -> bytes:
    file.seek(max(end - 1, 0))
    return file.read(1) if end else b""
