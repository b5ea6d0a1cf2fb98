"""Searches of a LayerBench, cell by cell: what each sampler would have found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from benchmarks.layerbench.simulation import MODES, Search
from optuna_layerwise.encodings import Encoding
from optuna_layerwise.layerbench.bench import LayerBench
from optuna_layerwise.layerbench.objective import LayerBenchObjective

TRIALS = (5, 10, 20, 50, 100, 200)
"""Numbers of evaluations after which the incumbent is judged."""
WORK = (5.0, 10.0, 20.0, 50.0)
"""The same in trainings of every block."""

MakeSampler = Callable[[Encoding, int], BaseSampler]
"""A sampler for an encoding and a seed."""
MakeFirst = Callable[[Encoding], Sequence[Mapping[str, Any]]]
"""Parameters of the first trials, which are enqueued."""


def search(
    bench: LayerBench,
    encoding: str,
    make_sampler: MakeSampler,
    *,
    seed: int,
    first: MakeFirst = lambda _: (),
    trials: int = 100,
    mode: str = "batches",
    metric: str = "accuracy",
) -> dict[str, Any]:
    """One search; its incumbents after `TRIALS` evaluations and after `WORK`.

    An incumbent is what looks best by the noisy validation metric. It is judged by what its
    policy is *expected* to give on both splits (`LayerBench.mean_values`).

    Returns:
        Lists ``[evaluations or work, seen, val, test]`` by what they were taken after, the rates
        of the last incumbent, and the processor time of ask and tell in milliseconds a trial.
    """
    objective = LayerBenchObjective(bench, encoding, seed=seed, metric=metric)
    run = Search(objective, make_sampler(objective.encoding, seed))
    for params in first(objective.encoding)[:trials]:
        run.study.enqueue_trial(dict(params), skip_if_exists=True)
    judged: dict[int, list[float]] = {}
    by_trials: list[list[float]] = []
    by_work: list[list[float]] = []
    spent, done = 0.0, 0
    for told in MODES[mode](run, trials, seed=seed):
        spent += _work(objective, run.told)
        judge = judged.get(run.incumbent.number) or _judge(objective, run.incumbent)
        judged[run.incumbent.number] = judge
        if told in TRIALS:
            by_trials.append([told, *judge])
        while done < len(WORK) and spent >= WORK[done]:
            by_work.append([WORK[done], *judge])
            done += 1
    return {
        "set": bench.name,
        "encoding": encoding,
        "seed": seed,
        "trials": trials,
        "mode": mode,
        "metric": metric,
        "by_trials": by_trials,
        "by_work": by_work,
        "found": [float(f"{r:.4g}") for r in _rates(objective, run.incumbent)],
        "work": round(spent, 4),
        "ms": round(1000 * run.cpu / trials, 3),
    }


def _work(objective: LayerBenchObjective, trial: FrozenTrial) -> float:
    return objective.bench.work_of(_rates(objective, trial))


def _judge(objective: LayerBenchObjective, trial: FrozenTrial) -> list[float]:
    assert trial.value is not None
    rates = _rates(objective, trial)
    val, test = objective.bench.mean_values(rates[None], objective.metric)
    return [round(v, 5) for v in (trial.value, float(val[0]), float(test[0]))]


def _rates(objective: LayerBenchObjective, trial: FrozenTrial) -> np.ndarray[Any, Any]:
    policy = objective.encoding.decode(trial.params)
    return np.array(list(policy.values())) * objective.bench.lr
