"""CPU time of ask and tell, and whether parallel search drifts to quick trials.

`python -m benchmarks.sampling.overhead` writes one JSON line per measurement.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, CmaEsSampler, RandomSampler

from benchmarks.layerbench.simulation import workers_of
from benchmarks.records import append, processor, provenance
from benchmarks.sampling.contestants import OURS
from optuna_layerwise.records.run import utc_now
from optuna_layerwise.samplers import CatCMAwMSampler

Make = Callable[[int], BaseSampler]

SPACE: dict[str, BaseDistribution] = {
    **{f"x{k}": FloatDistribution(-1, 2) for k in range(10)},
    **{f"r{k}": FloatDistribution(1e-5, 1e-1, log=True) for k in range(5)},
    **{f"n{k}": IntDistribution(1, 9) for k in range(5)},
    **{f"b{k}": CategoricalDistribution([False, True]) for k in range(5)},
    **{f"c{k}": CategoricalDistribution(["a", "b", "c", "d"]) for k in range(5)},
}
"""30 mixed parameters."""
FINISHED = (10, 1000, 5000)
TRIALS = 42
"""Per measurement: three cohorts of ours, whose population is 14 here."""

DRIFT: dict[str, BaseDistribution] = {f"x{k}": FloatDistribution(0, 1) for k in range(6)}
"""The first is neutral, and lets a trial take up to five times as long."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=32, help="of the drift")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/overhead.jsonl"))
    args = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    origin = provenance(device=processor(), threads=1)

    def record(**cell: Any) -> None:
        append(args.output, {**cell, "at": utc_now(), "provenance": origin})
        print(cell, flush=True)

    samplers: dict[str, Make] = {
        "Random": lambda seed: RandomSampler(seed=seed),
        OURS: lambda seed: CatCMAwMSampler(seed=seed, search_space=SPACE),
    }
    for finished in FINISHED:
        studies = {name: _study(make(0), finished) for name, make in samplers.items()}
        for _ in range(args.repeats):
            for name, study in studies.items():
                record(kind="overhead", sampler=name, finished=finished, ms=_ms_per_trial(study))
    parallel: dict[str, Make] = {
        "CmaEs": lambda seed: CmaEsSampler(seed=seed),
        OURS: lambda seed: CatCMAwMSampler(seed=seed, search_space=DRIFT),
    }
    for seed in range(args.seeds):
        for name, make in parallel.items():
            neutral, loss = drift(make(seed), seed)
            record(kind="drift", sampler=name, seed=seed, neutral=neutral, loss=loss)


def _study(sampler: BaseSampler, finished: int) -> optuna.Study:
    """In memory, with random trials and one of the sampler's, so that it has read them."""
    study = optuna.create_study(sampler=RandomSampler(seed=1))
    for _ in range(finished):
        trial = study.ask(SPACE)
        study.tell(trial, sum(v for v in trial.params.values() if isinstance(v, float)))
    study.sampler = sampler
    _ms_per_trial(study, 14)
    return study


def _ms_per_trial(study: optuna.Study, n: int = TRIALS) -> float:
    """Of processor time, one trial after the other."""
    clock = time.process_time()
    for _ in range(n):
        trial = study.ask(SPACE)
        study.tell(trial, sum(v for v in trial.params.values() if isinstance(v, float)))
    return round(1000 * (time.process_time() - clock) / n, 3)


def drift(sampler: BaseSampler, seed: int, trials: int = 400) -> tuple[float, float]:
    """8 workers; mean of the neutral gene, and median loss, of the last 50 trials."""
    study = optuna.create_study(sampler=sampler)
    neutral, losses = [], []

    def value(trial: optuna.Trial) -> float:
        x = np.array(list(trial.params.values()))
        return float(((x[1:] - 0.3) ** 2).sum())

    rng = np.random.Generator(np.random.Philox(key=[seed, 0]))
    jitter = lambda: float(np.exp(0.1 * rng.standard_normal()))  # noqa: E731
    for trial in workers_of(
        ask=lambda: study.ask(DRIFT),
        duration=lambda trial: (1 + 4 * trial.params["x0"]) * jitter(),
        trials=trials,
        count=8,
    ):
        study.tell(trial, loss := value(trial))
        neutral.append(trial.params["x0"])
        losses.append(loss)
    return float(np.mean(neutral[-50:])), float(np.median(losses[-50:]))


if __name__ == "__main__":
    main()
