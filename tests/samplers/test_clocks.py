"""What counts as missing is decided once, by the first draw that needs it, and by no clock."""

from __future__ import annotations

import datetime
import random
from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from rederiving import assert_rederives
from searching import SPACE, run, small

from optuna_layerwise.samplers._replay import Replay
from optuna_layerwise.samplers.biotune import BioTune
from optuna_layerwise.storage import TRIAL_KEY, all_trials, trial_record

ALGORITHM = BioTune(population=4, elites=1)


def test_hosts_whose_clocks_disagree_rebuild_the_same_states() -> None:
    study = optuna.create_study(sampler=small())
    run(study, 40)
    for trial in all_trials(study)[1::2]:  # told by a host an hour behind
        assert trial.datetime_complete is not None
        trial.datetime_complete -= datetime.timedelta(hours=1)
    assert assert_rederives(study, small()) == 160


class Worker:
    """A process that sees the trials as they were some time ago."""

    def __init__(self) -> None:
        self.seen: list[FrozenTrial] = []
        self.replay = Replay(ALGORITHM, [StudyDirection.MINIMIZE], None, SPACE)

    def ask(self, seen: Sequence[FrozenTrial], number: int) -> FrozenTrial:
        """A running trial with the record of what it is drawn from."""
        self.replay.update(seen)
        snapshot = self.replay.before(number)
        record = {
            "v": 1,
            "algorithm": ALGORITHM.name,
            "base": snapshot.base,
            "end": snapshot.end,
            "missing": sorted(snapshot.missing),
        }
        trial = bare(number)
        trial.system_attrs[TRIAL_KEY] = record
        return trial

    def state(self, trials: Sequence[FrozenTrial]) -> Any:
        """What it believes, once it sees everything."""
        self.replay.update(trials)
        return told(self.replay, len(trials))


def bare(number: int) -> FrozenTrial:
    trial = optuna.create_trial(state=TrialState.RUNNING)
    trial.number = number
    return trial


def told(replay: Replay, number: int) -> Any:
    snapshot = replay.before(number)
    population = [(i.number, i.genes.tolist(), i.extinction) for i in snapshot.state.population]
    return snapshot.base, snapshot.missing, population


def finish(trial: FrozenTrial) -> FrozenTrial:
    finished = optuna.create_trial(
        value=float((trial.number * 37) % 11),
        params={"x": 0.1 * (trial.number % 20), "lr": 1e-3, "n": 3, "kind": "a"},
        distributions=SPACE,
        system_attrs=trial.system_attrs,
    )
    finished.number = trial.number
    return finished


def test_of_two_draws_that_disagree_the_lower_number_rules() -> None:
    start = [Worker().ask([], number) for number in range(8)]
    done = [finish(trial) for trial in start]
    quick, slow, fresh = Worker(), Worker(), Worker()
    # both see one of the four later trials unfinished, but not the same
    without_2 = [*done[:2], start[2], *done[3:]]
    without_7 = done[:7] + start[7:]
    eighth = quick.ask(without_2, 8)
    ninth = slow.ask([*without_7, start[0]], 9)
    assert trial_record(eighth)["missing"] == [2] and trial_record(ninth)["missing"] == []

    everything = [*done, eighth, ninth]
    assert quick.state(everything) == slow.state(everything) == fresh.state(everything)
    assert 2 in slow.state(everything)[1]
    for trial in (eighth, ninth):
        record = trial_record(trial)
        again = fresh.replay.at(record["base"], record["missing"])
        assert again.missing == frozenset(record["missing"])


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(4))
def test_workers_that_lag_behind_agree_in_the_end(seed: int) -> None:
    order = random.Random(seed)
    workers = [Worker() for _ in range(4)]
    trials: list[FrozenTrial] = []
    drawn: list[tuple[FrozenTrial, Any]] = []
    for number in range(120):
        worker = order.choice(workers)
        # of some trials it has not read the news, or not even the record
        known = worker.seen + [bare(n) for n in range(len(worker.seen), number)]
        worker.seen = [
            new if order.random() < 0.6 else old for old, new in zip(known, trials, strict=True)
        ]
        trial = worker.ask(worker.seen, number)
        record = trial_record(trial)
        state = worker.replay.at(record["base"], record["missing"])
        drawn.append((trial, [i.number for i in state.state.population]))
        trials.append(trial)
        for running in [t for t in trials if t.state == TrialState.RUNNING]:
            if order.random() < (0.01 if running.number % 9 == 0 else 0.4):
                trials[running.number] = finish(running)
    fresh = Worker()
    end = fresh.state(trials)
    assert end[1], "some were missing"
    assert all(worker.state(trials) == end for worker in workers)
    for trial, population in drawn:
        record = trial_record(trial)
        again = fresh.replay.at(record["base"], record["missing"]).state.population
        assert [i.number for i in again] == population, trial.number
