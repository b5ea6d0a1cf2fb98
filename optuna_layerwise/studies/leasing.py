"""Keeping a trial's lease alive from a thread, and noticing that it is lost."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from types import TracebackType

import optuna

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


class Keeper:
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
        self.lost = False
        self._trial, self._lease = trial, lease
        self._on_lost, self._on_tick, self._checkpoint = on_lost, on_tick, checkpoint
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="olw-lease", daemon=True)

    def __enter__(self) -> Keeper:
        if is_seen_by_threads(self._trial.storage):
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
        let_go(self._trial)

    def _keep(self) -> None:
        every = self._lease.seconds / RENEWALS
        renewed = time.monotonic()
        try:
            with without_waiting():
                while not (self.lost or self._over.wait(min(TICK_SECONDS, every))):
                    try:
                        write_pending(self._trial)
                        if time.monotonic() - renewed >= every:
                            self._renew()
                            renewed = time.monotonic()
                        self._on_tick()
                    except KeyError:  # somebody has deleted the study
                        self._lose()
                    except Exception as error:
                        if not (isinstance(error, StorageUnusableError) or is_of_storage(error)):
                            raise
                        # It may answer at the next tick; that it is away, others say.
        finally:
            self._trial.storage.remove_session()

    def _renew(self) -> None:
        checkpoint = self._checkpoint(self._trial)
        self._lease = dataclasses.replace(self._lease.renewed(), checkpoint=checkpoint)
        if not renew(self._trial, self._lease):
            self._lose()

    def _lose(self) -> None:
        self.lost = True
        self._on_lost()
