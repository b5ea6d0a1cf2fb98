"""The state of an algorithm as a pure function of the trials in the database.

Cohort ``k`` is a fixed range of trial numbers, and cohorts commit in order: one commits when all
its trials have finished, or when as many later trials as the population holds have finished; the
members unfinished at that moment count as missing. Each trial stores what it was drawn from: a
number of cohorts and who was missing from them. Of the trials drawn after a cohort, the one with
the lowest number decides who was missing from it, so that every process rebuilds the same states
whatever the timing was, without comparing the clocks of two machines.
"""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.samplers._algorithm import Algorithm, Encoding, Genes, Mask, Member, Space
from optuna_layerwise.samplers._codec import (
    contains,
    decoder,
    grid,
    in_range,
    n_choices,
    n_levels,
    to_gene,
)
from optuna_layerwise.samplers._fronts import standings
from optuna_layerwise.samplers._threads import one_thread
from optuna_layerwise.storage import Standing, own_record, standing_of
from optuna_layerwise.storage.standing import FAILED

SearchSpace = dict[str, BaseDistribution]
_KEPT_STATES = 32
_NOTHING: Mapping[int, Standing] = {}


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The state before cohort ``base``, and the search space that it is about.

    Args:
        base: Number of cohorts told.
        end: Number of trials in them.
        missing: The trials in them that counted as missing.
        search_space: Name to distribution, without those of a single value.
        space: The same as the algorithm sees it.
        state: The algorithm's.
    """

    base: int
    end: int
    missing: frozenset[int]
    search_space: SearchSpace
    space: Space
    state: Any


class Replay:
    """Folds finished trials into states, each trial read once.

    Args:
        algorithm: What turns a state and a cohort into the next state.
        directions: Of the study; costs are negated values where it maximises. With several, a
            state is folded anew from all trials that it may know of, since each new one may
            change where the others stand; see `standings`.
        encoding: What is known about the genes, if anything.
        search_space: Fixed, or ``None``: the encoding's, and all parameters seen in the
            committed cohorts.
        study_id: Records of other studies are those of points that somebody else proposed.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        directions: Sequence[StudyDirection],
        encoding: Encoding | None,
        search_space: Mapping[str, BaseDistribution] | None,
        study_id: str | None = None,
    ) -> None:
        self.study_id = study_id
        self._algorithm = algorithm
        self._directions = directions
        self._encoding = encoding
        self._fixed = search_space is not None
        self._starts = [0]
        self._trials: list[FrozenTrial] = []
        self._unfinished: set[int] = set()
        self._rulings: dict[int, tuple[int, frozenset[int]]] = {}  # cohort: (trial, missing)
        if search_space is None:
            search_space = encoding.search_space if encoding else {}
        self._snapshots = [self._start(dict(search_space))]  # the first, and the newest
        self._rebuilt = self._snapshots[0]

    def locate(self, number: int) -> tuple[int, int]:
        """Cohort of a trial number, and its index there."""
        while self._starts[-1] <= number:
            size = self._algorithm.cohort_size(len(self._starts) - 1)
            self._starts.append(self._starts[-1] + size)
        cohort = bisect_right(self._starts, number) - 1
        return cohort, number - self._starts[cohort]

    def running(self, *, besides: int) -> list[FrozenTrial]:
        """The running trials but one, as last read."""
        return [
            trial
            for number in sorted(self._unfinished - {besides})
            if (trial := self._trials[number]).state == TrialState.RUNNING
        ]

    def before(self, number: int) -> Snapshot:
        """The newest snapshot, but none after the trial's own cohort has begun."""
        newest, (cohort, index) = self._snapshots[-1], self.locate(number)
        if newest.base <= cohort:
            return newest
        return self.at(cohort, (n for n in newest.missing if n < number - index))

    def at(self, base: int, missing: Iterable[int]) -> Snapshot:
        """The state before cohort ``base``; rebuilt from one before it if it is long gone."""
        wanted = frozenset(missing)
        before = (
            snapshot
            for snapshot in (*self._snapshots, self._rebuilt)
            if snapshot.base <= base
            and snapshot.missing == {n for n in wanted if n < snapshot.end}
        )
        snapshot = max(before, key=lambda snapshot: snapshot.base)
        while snapshot.base < base and self._end(snapshot) <= len(self._trials):
            snapshot = self._next(snapshot, wanted)
        if not any(n < snapshot.end for n in self._unfinished - wanted):
            self._rebuilt = snapshot
        return snapshot

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        """Take in the study's trials, by number, and commit the cohorts that are complete."""
        self._unfinished.update(range(len(self._trials), len(trials)))
        self._trials = list(trials)
        for number in sorted(self._unfinished):
            self._heed(trials[number])
            if trials[number].state.is_finished():
                self._unfinished.discard(number)
        while self._commit():
            pass

    def _heed(self, trial: FrozenTrial) -> None:
        """Let a trial rule who was missing from the cohorts that it was drawn after."""
        record = self._record(trial)
        told, _ = self.locate(min(record.get("end", 0), trial.number))
        missing = record.get("missing", ())
        for cohort in reversed(range(told)):
            if cohort in self._rulings and self._rulings[cohort][0] <= trial.number:
                break  # and so have all cohorts before
            start, end = self._starts[cohort : cohort + 2]
            ruled = frozenset(n for n in missing if start <= n < end)
            self._rulings[cohort] = (trial.number, ruled)
            if ruled != {n for n in self._snapshots[-1].missing if start <= n < end}:
                first, *newest = self._snapshots
                self._snapshots = [first, *(s for s in newest if s.base <= cohort)]

    def _commit(self) -> bool:
        snapshot = self._snapshots[-1]
        end = self._end(snapshot)
        if end > len(self._trials):
            return False
        missing = frozenset(n for n in self._unfinished if snapshot.end <= n < end)
        if snapshot.base in self._rulings:
            ruled = self._rulings[snapshot.base][1]
            if missing - ruled:
                return False  # these have finished, but were read before that
            missing = ruled
        elif missing:
            unfinished = sum(n >= end for n in self._unfinished)
            if len(self._trials) - end - unfinished < self._algorithm.population:
                return False
        first, *newest = [*self._snapshots, self._next(snapshot, snapshot.missing | missing)]
        self._snapshots = [first, *newest[-_KEPT_STATES:]]
        return True

    def _end(self, snapshot: Snapshot) -> int:
        return snapshot.end + self._algorithm.cohort_size(snapshot.base)

    def _next(self, snapshot: Snapshot, missing: frozenset[int]) -> Snapshot:
        """The snapshot after one more cohort; all over again if that changed the space."""
        search_space = dict(snapshot.search_space)
        if not self._fixed:
            for trial in self._trials[snapshot.end : self._end(snapshot)]:
                if trial.number not in missing:
                    search_space |= {
                        name: distribution
                        for name, distribution in trial.distributions.items()
                        if not distribution.single()
                    }
        several = len(self._directions) > 1
        if search_space == snapshot.search_space and not several:
            return self._tell(snapshot, missing)
        base, known, end = snapshot.base, dict[int, Standing](), self._end(snapshot)
        if several:
            told = [t for t in self._trials[:end] if t.number not in missing]
            known = standings(told, self._directions)
        snapshot = self._start(search_space)
        while snapshot.base <= base:
            snapshot = self._tell(snapshot, missing, known)
        return snapshot

    def _start(self, search_space: SearchSpace) -> Snapshot:
        searched = {
            name: distribution
            for name, distribution in sorted(search_space.items())
            if not distribution.single()
        }
        space = make_space(searched, self._encoding)
        with one_thread():
            state = self._algorithm.start(space)
        return Snapshot(0, 0, frozenset(), searched, space, state)

    def _tell(
        self,
        snapshot: Snapshot,
        missing: frozenset[int],
        known: Mapping[int, Standing] = _NOTHING,
    ) -> Snapshot:
        end = self._end(snapshot)
        members = [
            self._member(trial, snapshot.search_space, trial.number in missing, known)
            for trial in self._trials[snapshot.end : end]
        ]
        with one_thread():
            state = self._algorithm.tell(snapshot.state, snapshot.base, members)
        return dataclasses.replace(
            snapshot,
            base=snapshot.base + 1,
            end=end,
            missing=frozenset(n for n in missing if n < end),
            state=state,
        )

    def _member(
        self,
        trial: FrozenTrial,
        search_space: SearchSpace,
        missing: bool,
        known: Mapping[int, Standing],
    ) -> Member:
        if missing or not trial.state.is_finished():
            nothing = np.full(len(search_space), np.nan)
            worst = Standing(FAILED, 0.0, 0.0, 0.0, trial.number)
            return Member(trial.number, nothing, None, worst)
        genes = [_gene(trial, name, distribution) for name, distribution in search_space.items()]
        standing = known.get(trial.number) or standing_of(trial, self._directions[0])
        return Member(trial.number, np.array(genes), self._facts(trial), standing)

    def _record(self, trial: FrozenTrial) -> dict[str, Any]:
        record = own_record(trial, self.study_id)
        return record if record.get("algorithm") == self._algorithm.name else {}

    def _facts(self, trial: FrozenTrial) -> dict[str, Any] | None:
        record = self._record(trial)
        facts = record.get("facts")
        executed_otherwise = trial.system_attrs.get("fixed_params") or record.get("given")
        return facts if isinstance(facts, dict) and not executed_otherwise else None


def _gene(trial: FrozenTrial, name: str, distribution: BaseDistribution) -> float:
    """Of what the trial executed; NaN where that was nothing, or is no longer in the range."""
    if name not in trial.params:
        return math.nan
    value = trial.params[name]
    if trial.distributions[name] != distribution and not contains(distribution, value):
        return math.nan
    return to_gene(value, distribution)


def make_space(search_space: SearchSpace, encoding: Encoding | None) -> Space:
    """The unit-cube view of a search space, with what the encoding knows about it."""
    names = tuple(search_space)
    decoders = [decoder(distribution) for distribution in search_space.values()]

    def params(genes: Genes) -> dict[str, Any]:
        values = zip(names, decoders, genes.tolist(), strict=True)
        return {name: decode(gene) for name, decode, gene in values}

    def executed(genes: Genes) -> Genes:
        values = params(genes).items()
        return np.array([to_gene(value, search_space[name]) for name, value in values])

    def encode(given: Mapping[str, Any]) -> Genes:
        genes = (
            to_gene(given[name], distribution)
            if name in given and in_range(distribution, given[name])
            else math.nan
            for name, distribution in search_space.items()
        )
        return np.array(list(genes))

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
        levels=tuple(n_levels(distribution) for distribution in search_space.values()),
        grid=tuple(grid(distribution) for distribution in search_space.values()),
        executed=executed,
        encode=encode,
        active=active,
        valid=valid,
        gates=np.array([name in gates for name in names], dtype=bool),
    )
