"""What contests say, confirmed by real trainings: `python -m benchmarks.layerbench.confirm`.

``policies`` trains, once each and with a seed that neither search nor table has, the policies at
which the committed searches of two contestants ended. ``searches`` lets both search for real, and
trains what they found with three further seeds. One JSON line each; finished ones stay.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution

from benchmarks.layerbench.build import Task, train
from benchmarks.layerbench.design import CONTESTS, Cell
from benchmarks.layerbench.searches import contestant_of
from benchmarks.layerbench.simulation import Search, batches
from benchmarks.records import append, processor, provenance, read
from optuna_layerwise.layerbench import encoding_for, open_tables
from optuna_layerwise.layerbench.bench import TABLES

OUTPUT = CONTESTS / "confirm.jsonl"
CONTESTANTS = ("catcmawm/binary", "biotune/biotune")
SEED = 100
"""Of the first training of a policy; the table has others."""
FINAL_SEEDS = 3
Found = tuple[float, ...]
"""Rates of the blocks."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """An objective whose trials are trained."""

    search_space: Mapping[str, BaseDistribution]
    rates: Callable[[Mapping[str, Any]], Found]
    data: str
    seed: int

    def observe(self, params: Mapping[str, Any], number: int) -> tuple[float, float]:
        """Validation accuracy and loss at the best epoch."""
        seen = trained(self.data, self.rates(params), self.seed)
        return seen["val"], seen["loss"]

    def duration(self, params: Mapping[str, Any]) -> float:
        """Asked for simulated workers only; these trials are real."""
        raise NotImplementedError


def trained(data: str, rates: Found, seed: int) -> dict[str, float]:
    """One training, at the epoch that is best by validation."""
    _, record = train((Task("mobilenet", data, 5, "cpu"), Cell("confirm", rates, seed)))
    best = int(np.argmax(record["val"]["accuracy"]))
    metrics = {"val": record["val"]["accuracy"], "test": record["test"]["accuracy"]}
    return {k: v[best] for k, v in {**metrics, "loss": record["val"]["loss"]}.items()}


def policy(contestant: str, data: str, seed: int) -> dict[str, Any]:
    """What a committed search ended at, trained."""
    cells = read(CONTESTS / "main.jsonl")
    own = (contestant, data, seed)
    cell = next(c for c in cells if (c["contestant"], c["set"], c["seed"]) == own)
    return {"found": cell["found"], **trained(data, tuple(cell["found"]), SEED + seed)}


def search(contestant: str, data: str, seed: int, trials: int) -> dict[str, Any]:
    """A real search, and the mean of further trainings of what it found."""
    bench = open_tables(TABLES)[data]
    name, settings = contestant_of(contestant, seed)
    encoding = encoding_for(bench, name)

    def rates(params: Mapping[str, Any]) -> Found:
        return tuple(float(f"{m * bench.lr:.6g}") for m in encoding.decode(params).values())

    problem = Trained(encoding.search_space, rates, data, SEED + seed)
    run = Search(problem, settings.make_sampler(encoding, joins=False))
    for _ in batches(run, trials):
        pass
    found = rates(run.incumbent.params)
    again = [trained(data, found, 1000 + 10 * seed + i) for i in range(FINAL_SEEDS)]
    means = {key: float(np.mean([a[key] for a in again])) for key in ("val", "test")}
    return {"trials": trials, "found": found, "seen": run.incumbent.value, **means}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("policies", "searches"))
    parser.add_argument("--sets", nargs="+", default=["busi", "citrus", "rsmas"])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(10)))
    parser.add_argument("--trials", type=int, default=50)
    args = parser.parse_args(arguments)
    done = {(c["kind"], c["contestant"], c["set"], c["seed"]) for c in read(OUTPUT)}
    made = provenance(device=processor(), threads=1)
    for seed, data, contestant in itertools.product(args.seeds, args.sets, CONTESTANTS):
        cell = {"kind": args.kind, "contestant": contestant, "set": data, "seed": seed}
        if tuple(cell.values()) in done:
            continue
        if args.kind == "policies":
            result = policy(contestant, data, seed)
        else:
            result = search(contestant, data, seed, args.trials)
        append(OUTPUT, {**cell, **result, "commit": made["commit"], "device": made["device"]})


if __name__ == "__main__":
    main()
