"""The state of an algorithm as a pure function of the trials in the database.

Cohort ``k`` is a fixed range of trial numbers, and cohorts commit in order: one commits when all
its trials have finished, or when as many later trials as the population holds have finished; the
members unfinished at that moment, by the stored completion times, count as missing. So every
process rebuilds the same states from the same trials, whatever the timing was.
"""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.samplers._algorithm import Algorithm, Encoding, Genes, Mask, Member, Space
from optuna_layerwise.samplers._codec import from_gene, n_choices, to_gene
from optuna_layerwise.storage import TIE_KEY, trial_record

SearchSpace = dict[str, BaseDistribution]
_KEPT_STATES = 32


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The state before cohort ``base``, and the search space that it is about."""

    base: int
    search_space: SearchSpace
    space: Space
    state: Any


class Replay:
    """Folds finished trials into states, each trial read once.

    Args:
        algorithm: What turns a state and a cohort into the next state.
        direction: Of the study; costs are negated values where it maximises.
        encoding: What is known about the genes, if anything.
        search_space: Fixed, or ``None``: all parameters seen in the committed cohorts.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        direction: StudyDirection,
        encoding: Encoding | None,
        search_space: Mapping[str, BaseDistribution] | None,
    ) -> None:
        self._algorithm = algorithm
        self._sign = -1.0 if direction == StudyDirection.MAXIMIZE else 1.0
        self._encoding = encoding
        self._fixed = search_space is not None
        self._starts = [0]
        self._trials: list[FrozenTrial] = []
        self._times = np.full(64, np.inf)
        self._unfinished: set[int] = set()
        self._committed: list[tuple[int, float]] = []  # (end, deadline) per cohort
        self._first = self._start(dict(search_space or {}))
        self._snapshots = [self._first]

    def locate(self, number: int) -> tuple[int, int]:
        """Cohort of a trial number, and its index there."""
        while self._starts[-1] <= number:
            size = self._algorithm.cohort_size(len(self._starts) - 1)
            self._starts.append(self._starts[-1] + size)
        cohort = bisect_right(self._starts, number) - 1
        return cohort, number - self._starts[cohort]

    @property
    def newest(self) -> int:
        """Number of cohorts committed."""
        return len(self._committed)

    def running(self, *, besides: int) -> list[FrozenTrial]:
        """The running trials but one, as last read."""
        return [
            trial
            for number in sorted(self._unfinished - {besides})
            if (trial := self._trials[number]).state == TrialState.RUNNING
        ]

    def at(self, base: int) -> Snapshot:
        """The state before cohort ``base``; rebuilt from the start if it is long gone."""
        for snapshot in reversed(self._snapshots):
            if snapshot.base == base:
                return snapshot
        snapshot = self._first
        for cohort in range(min(base, len(self._committed))):
            snapshot = self._next(snapshot, cohort)
        return snapshot

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        """Take in the study's trials, by number, and commit the cohorts that are complete."""
        fresh = range(len(self._trials), len(trials))
        self._trials = list(trials)
        self._unfinished.update(fresh)
        while len(self._times) < len(trials):
            self._times = np.concatenate([self._times, np.full(len(self._times), np.inf)])
        for number in sorted(self._unfinished):
            if trials[number].state.is_finished():
                completed = trials[number].datetime_complete
                self._times[number] = completed.timestamp() if completed else 0.0
                self._unfinished.discard(number)
        while self._commit():
            pass

    def _commit(self) -> bool:
        cohort = len(self._committed)
        start = self._committed[-1][0] if cohort else 0
        end = start + self._algorithm.cohort_size(cohort)
        if end > len(self._trials):
            return False
        later = self._times[end : len(self._trials)]
        patience = self._algorithm.population
        deadline = float("inf")
        if len(later) >= patience:
            deadline = float(np.partition(later, patience - 1)[patience - 1])
        if math.isinf(deadline) and np.isinf(self._times[start:end]).any():
            return False
        self._committed.append((end, deadline))
        self._snapshots = [
            *self._snapshots[-_KEPT_STATES:],
            self._next(self._snapshots[-1], cohort),
        ]
        return True

    def _next(self, snapshot: Snapshot, cohort: int) -> Snapshot:
        """The snapshot after one more cohort; all over again if that changed the space."""
        start = self._committed[cohort - 1][0] if cohort else 0
        search_space = dict(snapshot.search_space)
        if not self._fixed:
            for trial in self._trials[start : self._committed[cohort][0]]:
                if self._times[trial.number] <= self._committed[cohort][1]:
                    search_space |= {
                        name: distribution
                        for name, distribution in trial.distributions.items()
                        if not distribution.single()
                    }
        if search_space == snapshot.search_space:
            return self._tell(snapshot, cohort)
        snapshot = self._start(search_space)
        for earlier in range(cohort + 1):
            snapshot = self._tell(snapshot, earlier)
        return snapshot

    def _start(self, search_space: SearchSpace) -> Snapshot:
        searched = {
            name: distribution
            for name, distribution in sorted(search_space.items())
            if not distribution.single()
        }
        space = make_space(searched, self._encoding)
        return Snapshot(0, searched, space, self._algorithm.start(space))

    def _tell(self, snapshot: Snapshot, cohort: int) -> Snapshot:
        start = self._committed[cohort - 1][0] if cohort else 0
        end, deadline = self._committed[cohort]
        members = [
            self._member(number, snapshot.search_space, on_time=self._times[number] <= deadline)
            for number in range(start, end)
        ]
        state = self._algorithm.tell(snapshot.state, cohort, members)
        return dataclasses.replace(snapshot, base=cohort + 1, state=state)

    def _member(self, number: int, search_space: SearchSpace, *, on_time: bool) -> Member:
        trial = self._trials[number]
        if not on_time or math.isinf(self._times[number]):
            missing = np.full(len(search_space), np.nan)
            return Member(number, missing, None, (2, 0.0, 0.0, number))
        genes = [
            to_gene(trial.params[name], distribution) if name in trial.params else math.nan
            for name, distribution in search_space.items()
        ]
        return Member(number, np.array(genes), self._facts(trial), self._order(trial))

    def _facts(self, trial: FrozenTrial) -> dict[str, Any] | None:
        record = trial_record(trial)
        ours = record.get("algorithm") == self._algorithm.name
        if not ours or trial.system_attrs.get("fixed_params"):
            return None
        facts = record.get("facts")
        return facts if isinstance(facts, dict) else None

    def _order(self, trial: FrozenTrial) -> tuple[int, float, float, int]:
        value = trial.values[0] if trial.values else math.nan
        if trial.state == TrialState.PRUNED:
            return (1, self._sign * value if math.isfinite(value) else math.inf, 0.0, trial.number)
        if trial.state == TrialState.FAIL or not math.isfinite(value):
            return (2, 0.0, 0.0, trial.number)
        tie = trial.user_attrs.get(TIE_KEY, 0.0)
        known = isinstance(tie, int | float) and math.isfinite(tie)
        return (0, self._sign * value, float(tie) if known else math.inf, trial.number)


def make_space(search_space: SearchSpace, encoding: Encoding | None) -> Space:
    """The unit-cube view of a search space, with what the encoding knows about it."""
    names = tuple(search_space)

    def params(genes: Genes) -> dict[str, Any]:
        return {
            name: from_gene(gene, search_space[name])
            for name, gene in zip(names, genes.tolist(), strict=True)
        }

    def active(genes: Genes) -> Mask:
        if encoding is None:
            return np.ones(len(names), dtype=bool)
        effective = encoding.active(params(genes))
        return np.array([name in effective or name not in known for name in names], dtype=bool)

    def valid(genes: Genes) -> bool:
        return encoding is None or encoding.valid(params(genes))

    known = frozenset(encoding.search_space) if encoding else frozenset()
    gates = encoding.gates if encoding else frozenset()
    return Space(
        names=names,
        choices=tuple(n_choices(distribution) for distribution in search_space.values()),
        active=active,
        valid=valid,
        gates=np.array([name in gates for name in names], dtype=bool),
    )
