"""Which running trials nobody runs any more, by the clock of who looks."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable, Sequence

from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.storage import lease_of, owner_of, trial_record

NEWBORN_SECONDS = 5.0
"""A trial without a lease is given an owner within milliseconds; after this long it never is."""


@dataclasses.dataclass
class Sight:
    """A sign of life, and for how long it has been the newest one.

    Args:
        sign: Changes as long as somebody lives.
        looked: When it was last seen.
        silent: Seconds without another sign.
        moved: Whether somebody has lived since the first look: an earlier sign was seen, or there
            was none then.
    """

    sign: object
    looked: float = dataclasses.field(default_factory=time.monotonic)
    moved: bool = False
    silent: float = 0.0

    def lasts(self, patience: float) -> bool:
        """Look again: whether there was no other sign for so many seconds.

        Two looks far from each other count for half of that time: where the database was away
        in between, nobody could give a sign of life.
        """
        now = time.monotonic()
        self.silent += min(now - self.looked, patience / 2)
        self.looked = now
        return self.silent >= patience


class Watch:
    """Looks at the running trials of a study again and again.

    A trial is abandoned when its process is known to be dead, when its lease has not been
    renewed for as long as it holds, or when it has neither lease nor owner, nor anything else,
    for 5 seconds. Times are those between two looks of this process: the clocks of other
    machines, and stored times, do not matter.
    """

    def __init__(self) -> None:
        self._seen: dict[int, Sight] = {}
        self._has_looked = False

    def abandoned(self, trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
        """Those that nobody runs any more, of all trials of the study as read just now."""
        before = self._seen
        self._seen, found = {}, []
        for trial in trials:
            if trial.state != TrialState.RUNNING:
                continue
            sign, patience = _sign(trial)
            last = before.get(trial.number)
            if last is None or last.sign != sign:
                last = Sight(sign, moved=self._has_looked)
            self._seen[trial.number] = last
            if last.lasts(patience):
                found.append(trial)
                last.moved = True  # it is no longer unsure
        self._has_looked = True
        return found

    def unsure(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether a later look may find one that was abandoned before the first.

        Not of trials whose process is known to live, or that have shown that they do.
        """
        still = (trials[number] for number, sight in self._seen.items() if not sight.moved)
        return any(_sign(trial)[1] < math.inf and not _lives(trial) for trial in still)


def _sign(trial: FrozenTrial) -> tuple[object, float]:
    """What changes while somebody runs the trial, and how long it may stay unchanged."""
    lease, owner = lease_of(trial), owner_of(trial)
    if owner is not None and owner.is_dead and (lease is None or owner.is_near):
        return owner, 0.0
    if lease is not None:
        return (lease.token, lease.renewals), lease.seconds
    things: Iterable[object] = (trial.params, trial.user_attrs, trial.intermediate_values)
    if owner is None and (bool(trial_record(trial)) or not any(things)):
        return trial.datetime_start, NEWBORN_SECONDS
    return None, math.inf


def _lives(trial: FrozenTrial) -> bool:
    owner = owner_of(trial)
    return owner is not None and owner.is_near and not owner.is_dead
