"""Which sampler finds the better front of accuracy and cost?

    python -m benchmarks.sampling.fronts

The problems are those of `problems.py` with a second objective: the share of the blocks that a
policy trains, of which earlier ones cost more, as their gradients go through all later ones. A
cell is a problem, a sampler and a seed. What counts is the hypervolume of the noiseless values of
all trials: how much of the square between an accuracy of `FLOOR` and the optimum, and between all
and no cost, is dominated.
"""

from __future__ import annotations

import argparse
import itertools
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, NSGAIISampler

from benchmarks.records import append, processor, provenance, read
from benchmarks.sampling.contestants import CONTESTANTS, OURS
from benchmarks.sampling.problems import FLOOR, PROBLEMS, Instance, observe
from optuna_layerwise.samplers._fronts import hypervolume

SAMPLERS: dict[str, Callable[[Instance, int], BaseSampler]] = {
    **{name: CONTESTANTS[name] for name in (OURS, "BioTune", "NSGA-II", "TPE", "GP", "Random")},
    "NSGA-II, population of 50 (Optuna's default)": lambda _, seed: NSGAIISampler(seed=seed),
}
MASKED = ("threshold-6", "threshold-18", "mask-18", "hybrid-18", "profile-18")
COUNTS = (20, 50, 100)
RESAMPLES = 10_000


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    results = Path("benchmarks/results/fronts.jsonl")
    parser.add_argument("--problems", nargs="+", choices=MASKED, default=list(MASKED))
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=list(SAMPLERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(20)))
    parser.add_argument("--commit", help="of a copy without its repository")
    parser.add_argument("--output", type=Path, default=results)
    args = parser.parse_args(arguments)
    done = {_key(cell) for cell in read(args.output)}
    origin = provenance(device=processor(), threads=1, commit=args.commit)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for seed, problem, sampler in itertools.product(args.seeds, args.problems, args.samplers):
        if (problem, sampler, seed) not in done:
            cell = run(problem, sampler, seed)
            append(args.output, {**cell, "provenance": origin})
    args.output.with_suffix(".md").write_text(table(read(args.output)))


def _key(cell: Mapping[str, Any]) -> tuple[str, str, int]:
    return cell["problem"], cell["sampler"], cell["seed"]


def run(problem: str, sampler: str, seed: int) -> dict[str, Any]:
    """One cell."""
    instance, rng = PROBLEMS[problem](seed), np.random.default_rng(seed)
    encoding, true = instance.encoding, []
    assert encoding is not None
    weights = np.arange(len(encoding.blocks), 0, -1, dtype=float)
    weights /= weights.sum()

    def values(trial: optuna.Trial) -> tuple[float, float]:
        params = {
            name: trial._suggest(name, distribution)
            for name, distribution in encoding.search_space.items()
        }
        policy = encoding.decode(params)
        cost = float(weights[[policy[block] > 0 for block in encoding.blocks]].sum())
        true.append((instance.best - instance.accuracy(params), cost))
        return observe(instance, params, rng)[0], cost

    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(
            directions=["maximize", "minimize"], sampler=SAMPLERS[sampler](instance, seed)
        )
        study.optimize(values, n_trials=max(COUNTS))
    spent = time.process_time() - started
    points = np.array(true) / (instance.best - FLOOR, 1.0)
    found = {str(n): round(hypervolume(points[:n], 1.0), 5) for n in COUNTS}
    ms = round(1000 * spent / max(COUNTS), 2)
    cell = {"problem": problem, "sampler": sampler, "seed": seed, "hypervolume": found, "ms": ms}
    print(cell, flush=True)
    return cell


def table(cells: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: means, and how far each of ours is ahead, over problems and seeds."""
    found = {_key(cell): cell for cell in cells}
    names = [name for name in SAMPLERS if any(key[1] == name for key in found)]
    parts = [
        "# Fronts of accuracy and cost",
        "Hypervolume of the noiseless values of all trials so far, mean over seeds; 1 is the "
        "optimum at no cost. Ahead: the mean difference over problems and seeds that both have, "
        "with its bootstrap interval of 95 %.",
    ]
    for n in COUNTS:
        problems = [p for p in MASKED if any(key[0] == p for key in found)]
        rows = [["sampler", *problems, *(f"{ours} is ahead by" for ours in (OURS, "BioTune"))]]
        rows[0] += ["cells", "ms a trial"]
        for name in names:
            of = {key: cell["hypervolume"][str(n)] for key, cell in found.items()}
            row = [name]
            for problem in problems:
                values = [v for (p, s, _), v in of.items() if (p, s) == (problem, name)]
                row.append(f"{np.mean(values):.3f}" if values else "-")
            row += [_ahead(of, ours, name) for ours in (OURS, "BioTune")]
            own = [cell for key, cell in found.items() if key[1] == name]
            row += [str(len(own)), f"{np.median([cell['ms'] for cell in own]):.1f}"]
            rows.append(row)
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        lines.insert(1, "|---" + "|--:" * (len(rows[0]) - 1) + "|")
        parts += [f"## After {n} trials", "\n".join(lines)]
    origins = {(c["provenance"]["commit"], c["provenance"]["device"]) for c in cells}
    parts += [f"Commit {commit}; {device}." for commit, device in sorted(origins)]
    return "\n\n".join(parts) + "\n"


def _ahead(of: Mapping[tuple[str, str, int], float], ours: str, other: str) -> str:
    if ours == other:
        return ""
    pairs = np.array(
        [
            of[p, ours, s] - v
            for (p, name, s), v in of.items()
            if name == other and (p, ours, s) in of
        ]
    )
    rng = np.random.default_rng(0)
    means = pairs[rng.integers(len(pairs), size=(RESAMPLES, len(pairs)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{pairs.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


if __name__ == "__main__":
    main()
