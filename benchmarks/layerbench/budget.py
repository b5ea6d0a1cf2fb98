"""What a budget buys: trials, finalists, and trainings of a trial, in searches of the tables.

    python -m benchmarks.layerbench.budget --processes 2

A search goes on for `TRAININGS`. After each of these numbers it is ended as ``tune`` ends one:
the policies that look best are trained with three new seeds in a race, and the best mean is
chosen. `optuna_layerwise.objective.finalists` does that with images; here trainings are looked
up. One JSON line a search, appended; finished ones are not run again.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import multiprocessing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from benchmarks.layerbench.contests import recorded
from benchmarks.layerbench.design import CONTESTS
from benchmarks.layerbench.searches import contestant_of
from benchmarks.layerbench.simulation import Search, batches
from benchmarks.records import append, read
from optuna_layerwise.layerbench import LayerBench, LayerBenchObjective, open_tables
from optuna_layerwise.layerbench.bench import TABLES
from optuna_layerwise.layerbench.measured import Array
from optuna_layerwise.objective.racing import still_in_the_race
from optuna_layerwise.storage import TIE_KEY

TRAININGS = (10, 20, 30, 50, 70, 100, 140, 200)
"""After which a search is judged."""
FINALISTS = (1, 3, 5, 10)
"""Policies that are trained again; 1 is taken as it is."""
FINAL_SEEDS = 3
ONCE, THRICE = 1, 3
CONTESTANTS = (
    *(("biotune/biotune", ONCE), ("biotune/biotune", THRICE)),
    *(("catcmawm/binary", ONCE), ("catcmawm/binary", THRICE)),
)
"""What searches, and the trainings of a trial, whose mean is its value."""

Cell = tuple[str, str, int, int]
"""Path of the table, contestant, trainings of a trial, seed."""


@dataclasses.dataclass(frozen=True)
class Repeated:
    """The objective whose value is the mean of several trainings."""

    objectives: Sequence[LayerBenchObjective]

    @property
    def search_space(self) -> Mapping[str, BaseDistribution]:
        """Parameter name to distribution."""
        return self.objectives[0].search_space

    def observe(self, params: Mapping[str, Any], number: int) -> tuple[float, float]:
        """Means of the value and of what decides ties."""
        seen = [objective.observe(params, number) for objective in self.objectives]
        value, tie = np.mean(seen, axis=0)
        return float(value), float(tie)

    def duration(self, params: Mapping[str, Any]) -> float:
        """Seconds of all."""
        return sum(objective.duration(params) for objective in self.objectives)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", type=Path, default=TABLES)
    parser.add_argument("--sets", nargs="+", help="default all tables")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--output", type=Path, default=CONTESTS / "budget.jsonl")
    args = parser.parse_args()
    done = {(c["set"], c["contestant"], c["repeats"], c["seed"]) for c in read(args.output)}
    benches = open_tables(args.tables)
    wanted = itertools.product(range(args.seeds), args.sets or benches, CONTESTANTS)
    cells = [
        (str(benches[name].path), contestant, repeats, seed)
        for seed, name, (contestant, repeats) in wanted
        if (name, contestant, repeats, seed) not in done
    ]
    with (
        recorded(args.output, args.sets, args.processes),
        multiprocessing.get_context("spawn").Pool(args.processes) as pool,
    ):
        for record in pool.imap_unordered(run_cell, cells, chunksize=4):
            append(args.output, record)


@functools.lru_cache(maxsize=8)
def bench_of(path: str) -> LayerBench:
    """A table, in this process."""
    return LayerBench(path)


def run_cell(cell: Cell) -> dict[str, Any]:
    """One search: ``after`` has ``[trainings, finalists, their trainings, work, val, test]``.

    ``work`` is that of the search and of the finalists, in trainings of every block; ``val`` and
    ``test`` are what the chosen policy is expected to give.
    """
    path, contestant, repeats, seed = cell
    bench = bench_of(path)
    encoding, settings = contestant_of(contestant, seed)
    objectives = [LayerBenchObjective(bench, encoding, seed=s) for s in seeds_of(seed, repeats)]
    own = objectives[0].encoding
    run = Search(Repeated(objectives), settings.make_sampler(own, joins=False))
    for params in settings.first(own):
        run.study.enqueue_trial(params, skip_if_exists=True)
    told: list[tuple[FrozenTrial, Array]] = []
    after: list[list[float]] = []
    spent, left = 0.0, list(TRAININGS)
    for n in batches(run, max(TRAININGS) // repeats):
        rates = np.array(list(own.decode(run.told.params).values())) * bench.lr
        told.append((run.told, rates))
        spent += repeats * bench.work_of(rates)
        while left and n * repeats >= left[0] - repeats + 1:
            after += [[left[0], *end] for end in ends(bench, told, spent, seed)]
            left.pop(0)
    return {
        "contestant": contestant,
        "repeats": repeats,
        "set": bench.name,
        "seed": seed,
        "after": after,
    }


def seeds_of(seed: int, n: int, *, final: bool = False) -> list[int]:
    """Of the trainings of a search; those of its finalists are others."""
    return [seed + 1000 * (i + 100 * final) for i in range(n)]


def ends(
    bench: LayerBench, told: Sequence[tuple[FrozenTrial, Array]], spent: float, seed: int
) -> list[list[float]]:
    """One for each number of `FINALISTS`: it, its trainings, all work, and what was chosen."""
    ranked = sorted(told, key=lambda t: (-_value(t[0]), t[0].user_attrs[TIE_KEY], t[0].number))
    different = list({rates.tobytes(): rates for _, rates in ranked}.values())
    # a dictionary keeps the first key's place: the best of equal policies
    tops = different[: max(FINALISTS)]
    trained = [
        [_trained(bench, rates, s) for s in seeds_of(seed, FINAL_SEEDS, final=True)]
        for rates in tops
    ]
    scores = np.array(trained)
    val, test = bench.mean_values(np.array(tops))
    found = []
    for k in FINALISTS:
        n = min(k, len(tops))
        runs = raced(scores[:n]) if k > 1 else np.zeros(n, dtype=int)
        work = spent + sum(r * bench.work_of(rates) for r, rates in zip(runs, tops, strict=False))
        chosen = 0
        if k > 1:
            means = [-scores[i, : runs[i]].mean() for i in range(n)]
            chosen = int(np.lexsort((means, -runs))[0])
        judged = (work, float(val[chosen]), float(test[chosen]))
        found.append([k, int(runs.sum()), *(round(value, 4) for value in judged)])
    return found


def raced(scores: Array) -> Array:
    """How many trainings each finalist gets; scores [finalists, seeds]."""
    runs = np.zeros(len(scores), dtype=int)
    running = np.arange(len(scores))
    for seed in range(scores.shape[1]):
        runs[running] += 1
        if seed + 1 < scores.shape[1]:
            running = running[still_in_the_race(scores[running, : seed + 1], scores.shape[1])]
    return runs


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def _trained(bench: LayerBench, rates: Array, seed: int) -> float:
    policy = dict(zip(bench.blocks, rates / bench.lr, strict=True))
    return bench.evaluate(policy, seed=seed, source="surrogate").value()


if __name__ == "__main__":
    main()
