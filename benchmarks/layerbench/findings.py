"""What the grid of a table says, as plain numbers: each function answers one question.

A policy of the grid is a mask and a rate. ``val`` and ``test`` are accuracies [masks, rates,
seeds] at the epoch with the best validation accuracy, ``loss`` the validation loss there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from optuna_layerwise.layerbench import LayerBench
from optuna_layerwise.layerbench.measured import Array


@dataclasses.dataclass(frozen=True)
class Grid:
    """The grid of a table, best epochs.

    Args:
        bench: The table.
        masks: bool [masks, blocks].
        rates: [rates].
        val: Accuracy [masks, rates, seeds].
        test: The same.
        loss: Validation loss [masks, rates, seeds].
        curves: Validation accuracy [masks, rates, seeds, epochs].
    """

    bench: LayerBench
    masks: Array
    rates: Array
    val: Array
    test: Array
    loss: Array
    curves: Array


def grid_of(bench: LayerBench) -> Grid:
    """Read it, with the seeds that are complete.

    Raises:
        ValueError: if there are fewer than two.
    """
    if len(bench.grid_seeds) < 2:
        raise ValueError(f"{bench.name} has the whole grid of the seeds {bench.grid_seeds} alone")
    whole = np.isin(bench.table.seeds, bench.grid_seeds)
    table = bench.table.where(whole & (bench.table.kinds == "grid"))
    rates = np.unique(table.rates.max(axis=1))
    masks = np.unique(table.rates > 0, axis=0)[::-1]
    seeds = np.unique(table.seeds)
    shape = (len(masks), len(rates), len(seeds))
    of_mask = {mask.tobytes(): i for i, mask in enumerate(masks)}
    place = (
        np.array([of_mask[row.tobytes()] for row in table.rates > 0]),
        np.searchsorted(rates, table.rates.max(axis=1)),
        np.searchsorted(seeds, table.seeds),
    )
    accuracy = np.nan_to_num(table.curves["val", "accuracy"])
    best = accuracy.argmax(axis=1)[:, None]

    def at_best(curve: Array) -> Array:
        laid = np.empty(shape)
        laid[place] = np.take_along_axis(curve, best, axis=1)[:, 0]
        return laid

    curves = np.empty((*shape, table.epochs))
    curves[place] = accuracy
    return Grid(
        bench,
        masks,
        rates,
        at_best(accuracy),
        at_best(np.nan_to_num(table.curves["test", "accuracy"])),
        at_best(np.nan_to_num(table.curves["val", "loss"], nan=np.inf)),
        curves,
    )


def shares(values: Array) -> dict[str, float]:
    """Of the variance of [masks, rates, seeds]: mask, rate, both together, seed.

    Method of moments for a two-way layout with repetitions, all factors random.
    """
    a, b, n = values.shape
    means, total = values.mean(axis=2), values.mean()
    rows, columns = means.mean(axis=1), means.mean(axis=0)
    both = means - rows[:, None] - columns[None] + total
    error = values.var(axis=2, ddof=1).mean()
    ms_both = n * (both**2).sum() / ((a - 1) * (b - 1))
    ms_mask = n * b * ((rows - total) ** 2).sum() / (a - 1)
    ms_rate = n * a * ((columns - total) ** 2).sum() / (b - 1)
    parts = {
        "mask": max(0.0, (ms_mask - ms_both) / (n * b)),
        "rate": max(0.0, (ms_rate - ms_both) / (n * a)),
        "both": max(0.0, (ms_both - error) / n),
        "seed": error,
    }
    return {name: float(part / sum(parts.values())) for name, part in parts.items()}


def choices(grid: Grid) -> dict[str, dict[str, Any]]:
    """What one gets by tuning some of it, chosen by the mean validation accuracy of all seeds."""
    full, probe = grid.masks.all(axis=1), grid.masks.sum(axis=1) == 1
    last_two = (grid.masks.sum(axis=1) == 2) & grid.masks[:, -2].astype(bool)
    usual = int(np.abs(np.log(grid.rates / grid.bench.lr)).argmin())
    rate_only = np.ones(len(grid.rates), dtype=bool)
    one_rate = np.arange(len(grid.rates)) == usual
    every = np.ones(len(grid.masks), dtype=bool)
    allowed = {
        "full fine-tuning at 1e-3": (full, one_rate),
        "full fine-tuning, rate tuned": (full, rate_only),
        "linear probe, rate tuned": (probe, rate_only),
        "last block and head, rate tuned": (last_two, rate_only),
        "mask tuned at 1e-3": (every, one_rate),
        "mask and rate tuned": (every, rate_only),
    }
    found = {}
    for name, (masks, rates) in allowed.items():
        mean = np.where(masks[:, None] & rates[None], grid.val.mean(axis=2), -np.inf)
        mask, rate = np.unravel_index(mean.argmax(), mean.shape)
        test = grid.test[mask, rate]
        found[name] = {
            "mask": "".join("x" if bit else "." for bit in grid.masks[mask]),
            "rate": float(grid.rates[rate]),
            "val": float(grid.val[mask, rate].mean()),
            "test": float(test.mean()),
            "deviation": float(test.std(ddof=1)),
        }
    return found


def block_effects(grid: Grid) -> dict[str, float]:
    """Points of test accuracy that training a block is worth, over all masks, at its best rate.

    The rate is the best of each mask, by validation.
    """
    val, test = grid.val.mean(axis=2), grid.test.mean(axis=2)
    best = np.take_along_axis(test, val.argmax(axis=1)[:, None], axis=1)[:, 0]
    return {
        block: 100 * float(best[grid.masks[:, i] > 0].mean() - best[grid.masks[:, i] == 0].mean())
        for i, block in enumerate(grid.bench.blocks[:-1])
    }


def noise(grid: Grid) -> dict[str, float]:
    """Points: deviations over seeds and among good policies, and how many cannot be told apart."""
    val, test = grid.val.mean(axis=2).ravel(), grid.test.mean(axis=2).ravel()
    good = val >= np.quantile(val, 0.9)
    p, n = float(val[good].mean()), grid.bench.table.header["images"]["val"]
    seeds = grid.val.shape[2]
    error = np.sqrt(grid.val.var(axis=2, ddof=1).mean() * 2 / seeds)
    return {
        "validation, over seeds": 100 * float(np.sqrt(grid.val.var(axis=2, ddof=1).mean())),
        "test, over seeds": 100 * float(np.sqrt(grid.test.var(axis=2, ddof=1).mean())),
        "of a share of the validation images (binomial)": 100 * float(np.sqrt(p * (1 - p) / n)),
        "validation, over all policies": 100 * float(val.std(ddof=1)),
        "validation, over the best tenth": 100 * float(val[good].std(ddof=1)),
        "test, over the best tenth": 100 * float(test[good].std(ddof=1)),
        "policies within two standard errors of the best": float(
            (val >= val.max() - 2 * error).sum()
        ),
        "rank correlation of validation and test": float(spearmanr(val, test)[0]),
        "the same in the best tenth": float(spearmanr(val[good], test[good])[0]),
    }


def transfer(grids: Sequence[Grid]) -> tuple[Array, Array]:
    """Between sets: rank correlations of policies, and test points lost by another set's best."""
    n = len(grids)
    alike, lost = np.eye(n), np.zeros((n, n))
    for i, source in enumerate(grids):
        chosen = np.unravel_index(source.val.mean(axis=2).argmax(), source.val.shape[:2])
        for j, target in enumerate(grids):
            mean = target.val.mean(axis=2)
            alike[i, j] = spearmanr(source.val.mean(axis=2).ravel(), mean.ravel())[0]
            own = np.unravel_index(mean.argmax(), mean.shape)
            test = target.test.mean(axis=2)
            lost[i, j] = 100 * (test[own] - test[chosen])
    return alike, lost


def after(
    grid: Grid, numbers: Sequence[int], *, repeats: int = 2000
) -> dict[int, dict[str, float]]:
    """Random search without a model: what the best of n looks like, and what it is.

    n policies of the grid, one of their trainings each; the best by validation (ties: loss). Its
    worth is what the *other* trainings of its policy give, which nothing was chosen by; ``kept``
    is the test accuracy of the chosen training itself.
    """
    rng = np.random.Generator(np.random.Philox(0))
    masks, rates, seeds = grid.val.shape
    val, test = (v.reshape(masks * rates, seeds) for v in (grid.val, grid.test))
    loss = grid.loss.reshape(masks * rates, seeds)
    found: dict[int, dict[str, float]] = {}
    for n in numbers:
        drawn = []
        for _ in range(repeats):
            policies = rng.choice(len(val), size=n, replace=False)
            seed = rng.integers(seeds, size=n)
            order = np.lexsort((loss[policies, seed], -val[policies, seed]))
            policy, own = policies[order[0]], seed[order[0]]
            chosen, others = (policy, own), (policy, np.arange(seeds) != own)
            drawn.append((val[chosen], val[others].mean(), test[others].mean(), test[chosen]))
        seen, real, tested, kept = 100 * np.mean(drawn, axis=0)
        luck = seen - real
        found[n] = {"seen": seen, "val": real, "test": tested, "kept": kept, "luck": luck}
    return found


def repeats(
    bench: LayerBench, trainings: Sequence[int], *, searches: int = 300
) -> dict[int, dict[str, float]]:
    """One training for each of n policies, three for each of n / 3, or a race of the best.

    Random masks and rates near those that work, trained by the surrogate with the noise of real
    trainings. The race spends a third of its trainings on further seeds of its best policies.

    Returns:
        Budget to the expected test accuracy (points) of what each chooses.
    """
    rng = np.random.Generator(np.random.Philox(0))
    n_blocks = len(bench.blocks)
    found: dict[int, dict[str, float]] = {}
    for budget in trainings:
        sums = {"one seed": 0.0, "three seeds": 0.0, "one seed, then a race": 0.0}
        for search in range(searches):
            mask = rng.random((budget, n_blocks)) < 0.7
            mask[:, -1] = True
            rates = np.where(mask, 10 ** rng.uniform(-3.5, -1.5, (budget, 1)), 0.0)
            test = bench.mean_values(rates)[1]

            def value(i: int, seed: int, rates: Array = rates) -> float:
                curve = bench.surrogate.sample(rates[i], seed)
                return float(curve["val.accuracy"].max())

            seeds = [1000 * search + s for s in range(4)]
            once = np.array([value(i, seeds[0]) for i in range(budget)])
            sums["one seed"] += test[once.argmax()]
            thrice = [
                np.mean([once[i], *(value(i, s) for s in seeds[1:3])]) for i in range(budget // 3)
            ]
            sums["three seeds"] += test[int(np.argmax(thrice))]
            first = budget - budget // 3
            finalists = np.argsort(-once[:first])[: max(1, budget // 9)]
            raced = [np.mean([value(i, s) for s in seeds[1:4]]) for i in finalists]
            sums["one seed, then a race"] += test[finalists[int(np.argmax(raced))]]
        found[budget] = {name: 100 * total / searches for name, total in sums.items()}
    return found


def early(grid: Grid) -> list[float]:
    """Rank correlation of the best value up to each epoch with the policies' test accuracy."""
    test = grid.test.mean(axis=2)
    so_far = np.maximum.accumulate(grid.curves, axis=3)
    n = grid.val.shape[2]
    return [
        float(np.mean([spearmanr(so_far[:, :, s, e].ravel(), test.ravel())[0] for s in range(n)]))
        for e in range(grid.curves.shape[3])
    ]


def criteria(grid: Grid, n: int = 50, *, repeats: int = 2000) -> dict[str, float]:
    """Expected test accuracy (points) of the best of n single trainings, by what chooses it."""
    rng = np.random.Generator(np.random.Philox(0))
    masks, rates, seeds = grid.val.shape
    val, loss, test = (
        v.reshape(masks * rates, seeds)
        for v in (grid.val, grid.loss, grid.test.mean(axis=2)[..., None].repeat(seeds, 2))
    )
    totals = {"accuracy, oldest of a tie": 0.0, "accuracy, lower loss of a tie": 0.0, "loss": 0.0}
    for _ in range(repeats):
        policies = rng.choice(len(val), size=n, replace=False)
        seed = rng.integers(seeds, size=n)
        v, lower, t = (values[policies, seed] for values in (val, loss, test))
        totals["accuracy, oldest of a tie"] += t[v.argmax()]
        totals["accuracy, lower loss of a tie"] += t[np.lexsort((lower, -v))[0]]
        totals["loss"] += t[lower.argmin()]
    return {name: 100 * total / repeats for name, total in totals.items()}
