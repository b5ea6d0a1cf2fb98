"""Keeping a lease alive from a thread, and noticing that it is lost."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from types import TracebackType

import optuna
from optuna.storages import BaseStorage

from optuna_layerwise.storage import (
    Lease,
    StorageUnusableError,
    is_of_storage,
    is_seen_by_threads,
    let_go,
    renew,
    without_waiting,
    write_pending,
)

RENEWALS = 4
"""In the time that a lease holds."""
TICK_SECONDS = 1.0
"""How long the parameters of a trial may wait to be written, and orders to be heeded."""


class Heartbeat:
    """Renews a lease from a thread until the ``with`` block ends, or the lease is lost.

    Args:
        storage: Where the lease is.
        seconds: How long it holds without being renewed.
        renew: Gives a sign of life; false if the lease is somebody else's by now.
        on_tick: Called from the thread every second or so.
        on_lost: Called from the thread, once, when the lease is lost or the study is deleted.
    """

    def __init__(
        self,
        storage: BaseStorage,
        seconds: float,
        *,
        renew: Callable[[], bool],
        on_tick: Callable[[], None] = lambda: None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.lost = False
        self._storage, self._every = storage, seconds / RENEWALS
        self._give_sign, self._on_tick, self._on_lost = renew, on_tick, on_lost
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="olw-lease", daemon=True)

    def __enter__(self) -> Heartbeat:
        if is_seen_by_threads(self._storage):
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _keep(self) -> None:
        renewed = time.monotonic()
        try:
            with without_waiting():
                while not (self.lost or self._over.wait(min(TICK_SECONDS, self._every))):
                    try:
                        self._on_tick()
                        if time.monotonic() - renewed >= self._every:
                            if not self._give_sign():
                                self._lose()
                            renewed = time.monotonic()
                    except KeyError:  # somebody has deleted the study
                        self._lose()
                    except Exception as error:
                        if not (isinstance(error, StorageUnusableError) or is_of_storage(error)):
                            raise
                        # It may answer at the next tick; that it is away, others say.
        finally:
            self._storage.remove_session()

    def _lose(self) -> None:
        self.lost = True
        self._on_lost()


class Keeper(Heartbeat):
    """Renews the lease of a running trial, from a thread, until the trial is over.

    Args:
        trial: The trial.
        lease: The one that it was asked for with.
        on_lost: Called from the thread, once, when the trial is no longer this worker's, or was
            ended by somebody.
        on_tick: Called from the thread every second or so.
        checkpoint: Tells the trial's newest checkpoint, if there is one, for people who read.
    """

    def __init__(
        self,
        trial: optuna.Trial,
        lease: Lease,
        *,
        on_lost: Callable[[], None],
        on_tick: Callable[[], None],
        checkpoint: Callable[[optuna.Trial], str | None] = lambda trial: None,
    ) -> None:
        def write_and_tick() -> None:
            write_pending(trial)
            on_tick()

        super().__init__(
            trial.storage,
            lease.seconds,
            renew=self._renew,
            on_tick=write_and_tick,
            on_lost=on_lost,
        )
        self._trial, self._lease, self._checkpoint = trial, lease, checkpoint

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        let_go(self._trial)

    def _renew(self) -> bool:
        checkpoint = self._checkpoint(self._trial)
        self._lease = dataclasses.replace(self._lease.renewed(), checkpoint=checkpoint)
        return renew(self._trial, self._lease)
