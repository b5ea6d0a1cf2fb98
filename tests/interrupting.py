"""Signals at known moments of a real search."""

from __future__ import annotations

import os
import signal

from optuna.storages import InMemoryStorage


class SignalAt(InMemoryStorage):
    """Signals arrive, once each, when a trial has reported each of some epochs."""

    def __init__(
        self, *epochs: int, number: signal.Signals = signal.SIGTERM, times: int = 1
    ) -> None:
        super().__init__()
        self.left, self.number, self.times = set(epochs), number, times

    def set_trial_intermediate_value(self, trial_id: int, step: int, value: float) -> None:
        super().set_trial_intermediate_value(trial_id, step, value)
        if step in self.left:
            self.left.remove(step)
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)
