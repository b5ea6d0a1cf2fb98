"""Search every problem with every sampler, over seeds: `python -m benchmarks.sampling.run`.

A cell is a problem, a sampler, a mode and a seed; it is one line of the output and is not run
again. Cells of one seed follow each other, so that what is compared ran at the same time.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from optuna.samplers import RandomSampler

from benchmarks.layerbench.simulation import MODES, Search
from benchmarks.records import append, processor, provenance, read
from benchmarks.sampling.contestants import CONTESTANTS
from benchmarks.sampling.ladder import ladder
from benchmarks.sampling.problems import LAYERS, PROBLEMS, regret
from benchmarks.sampling.simulation import Noisy
from optuna_layerwise.records.run import utc_now

COUNTS = (10, 20, 50, 100, 200)
"""Evaluations after which the regret is recorded."""
LADDER = "ladder"
"""The ten hand-made configurations, as a contestant."""


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    done = {_key(cell) for cell in read(args.output)}
    origin = provenance(device=processor(), threads=1)
    for seed, mode, problem in itertools.product(args.seeds, args.modes, args.problems):
        for sampler in args.samplers:
            by_hand = sampler == LADDER
            if (problem, sampler, mode, seed) in done or (by_hand and problem not in LAYERS):
                continue
            cell = run(problem, sampler, mode, seed, args.trials)
            append(args.output, {**cell, "provenance": origin})
            print(problem, sampler, mode, seed, cell["regret"], f"{cell['ms']:.1f} ms", flush=True)


def run(problem: str, sampler: str, mode: str, seed: int, trials: int) -> dict[str, Any]:
    """One cell."""
    instance = PROBLEMS[problem](seed)
    started, clock = utc_now(), time.perf_counter()
    if sampler == LADDER:
        search = Search(Noisy(instance, seed), RandomSampler(seed=seed))
        configurations = ladder(instance)
        for params in configurations:
            search.study.enqueue_trial(params)
        trials = len(configurations)
    else:
        search = Search(Noisy(instance, seed), CONTESTANTS[sampler](instance, seed))
    regrets = {
        str(told): round(regret(instance, search.incumbent.params), 4)
        for told in MODES[mode](search, trials, seed=seed)
        if told in COUNTS
    }
    return {
        "problem": problem,
        "sampler": sampler,
        "mode": mode,
        "seed": seed,
        "trials": trials,
        "regret": regrets,
        "ms": round(1000 * search.cpu / max(trials, 1), 3),
        "started": started,
        "seconds": round(time.perf_counter() - clock, 3),
    }


def _key(cell: dict[str, Any]) -> tuple[str, str, str, int]:
    return cell["problem"], cell["sampler"], cell["mode"], cell["seed"]


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = partial(parser.add_argument, nargs="+", metavar="X")
    samplers = [LADDER, *CONTESTANTS]
    add("--problems", default=list(PROBLEMS), choices=list(PROBLEMS), help=", ".join(PROBLEMS))
    add("--samplers", default=samplers, choices=samplers, help=", ".join(samplers))
    add("--modes", default=list(MODES), choices=list(MODES), help=", ".join(MODES))
    add("--seeds", type=int, default=list(range(20)), help="of instances, noise and samplers")
    parser.add_argument("--trials", type=int, default=200, metavar="N", help="of a search")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/sampling.jsonl"))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
