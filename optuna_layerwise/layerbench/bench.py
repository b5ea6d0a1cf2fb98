"""Fine-tunings without training: a table of real ones, and what it says between its rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from optuna_layerwise.cost import training_flops
from optuna_layerwise.layerbench.measured import METRICS, SPLITS, SUFFIX, Array, Table, read_table
from optuna_layerwise.layerbench.surrogate import Kernel, Surrogate

Source = Literal["table", "surrogate"]
TABLES = Path(__file__).parent / "tables"
"""The tables that the package brings."""


@dataclasses.dataclass(frozen=True)
class Training:
    """One fine-tuning, looked up.

    Args:
        val: Metric to its value after each epoch.
        test: The same of the test split, for judging alone.
        best_epoch: The first epoch with the best validation value of ``metric``; ``None`` if the
            training diverged in the first.
        metric: What chose it.
        work: Operations, as a share of training every block for all of the table's epochs.
        seconds: Processor time on the table's machine.
        source: A real training of the ``table``, or the ``surrogate``.
        diverged: The loss stopped being finite; the curves end there.
    """

    val: Mapping[str, Array]
    test: Mapping[str, Array]
    best_epoch: int | None
    metric: str
    work: float
    seconds: float
    source: Source
    diverged: bool = False

    def value(self, metric: str | None = None, *, split: str = "val") -> float:
        """A metric at the best epoch, by default the one that chose it; NaN without one."""
        if self.best_epoch is None:
            return float("nan")
        curves = self.val if split == "val" else self.test
        return float(curves[metric or self.metric][self.best_epoch])


class LayerBench:
    """One network on one data set: what any policy is worth, in microseconds.

    A policy and seed of the table give that very training. Any other policy gets a Gaussian
    process's curves, and with a seed the deviations of real trainings near it; see `Surrogate`
    and the errors in `surrogate_errors`.

    Args:
        table: The data set of a table that the package brings (``busi``, ``citrus`` or ``rsmas``),
            or the path of a packed table.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such table.

    Examples:
        >>> bench = LayerBench("busi")
        >>> full = bench.evaluate(Policy.uniform(bench.blocks), seed=0)
        >>> full.source, full.work, 0.6 < full.value("accuracy") < 0.8
        ('table', 1.0, True)
    """

    def __init__(self, table: str | Path) -> None:
        self.path = _shipped().get(str(table), Path(table))
        self.table: Table = read_table(self.path)
        self.name = str(self.table.header["set"])
        self.lr = float(self.table.header["recipe"]["lr"])

    @property
    def blocks(self) -> tuple[str, ...]:
        """Block names in forward order; the last is the head, which always trains."""
        return self.table.blocks

    @property
    def epochs(self) -> int:
        """Of a training."""
        return self.table.epochs

    @property
    def surrogate_errors(self) -> Mapping[str, Any]:
        """Measured on policies that were held out when the table was packed."""
        return dict(self.table.header["surrogate"]["errors"])

    @cached_property
    def grid_seeds(self) -> tuple[int, ...]:
        """Seeds with which every policy of the grid was trained."""
        grid = self.table.where(self.table.kinds == "grid")
        seeds, n = np.unique(grid.seeds, return_counts=True)
        return tuple(int(seed) for seed in seeds[n == len(grid.policies[0])])

    @cached_property
    def surrogate(self) -> Surrogate:
        """The process over all rows; made at its first use."""
        return Surrogate(self.table, Kernel.from_json(self.table.header["surrogate"]))

    def evaluate(
        self,
        policy: Mapping[str, float],
        *,
        seed: int | None = 0,
        epochs: int | None = None,
        metric: str = "accuracy",
        source: Source | None = None,
    ) -> Training:
        """A fine-tuning of a policy.

        Args:
            policy: For every block a multiplier of the recipe's rate, `lr`.
            seed: Of the training; ``None`` is what it is expected to give.
            epochs: Stop after so many; the schedule is still that of the whole training.
            metric: Which chooses the best epoch, by validation.
            source: ``surrogate`` for policies that the table has, too; ``table`` for those alone.

        Raises:
            ValueError: for other blocks, a frozen head, or an unknown metric.
            LookupError: if ``source`` is ``table`` and it has no such training.
        """
        rates = self._rates(policy)
        if metric not in METRICS:
            raise ValueError(f"metric must be one of {list(METRICS)}, got {metric!r}")
        row = self._rows.get((rates.tobytes(), seed)) if source != "surrogate" else None
        if row is None and source == "table":
            raise LookupError(
                f"the table {self.name} has no training of {dict(policy)} with seed {seed}; "
                "leave `source` out to ask the surrogate"
            )
        if row is not None:
            curves = {f"{s}.{m}": self.table.curves[s, m][row] for s in SPLITS for m in METRICS}
            curves["seconds"] = self.table.seconds[row]
        elif seed is None:
            curves = {name: v[0] for name, v in self.surrogate.mean(rates[None]).items()}
        else:
            curves = self.surrogate.sample(rates, seed)
        asked = self.epochs if epochs is None else epochs
        return self._training(curves, rates, asked, metric, row is not None)

    def best(self, metric: str = "accuracy") -> float:
        """The highest expected validation value of any policy that was found when it was packed.

        Raises:
            KeyError: for a metric whose best policy was not looked for.
        """
        return float(self.table.header["best"][metric]["val"])

    def mean_values(self, rates: Array, metric: str = "accuracy") -> tuple[Array, Array]:
        """Expected validation and test values of policies [n, blocks] of rates, each [n].

        At the epoch that is expected to be best by validation; for judging a search.
        """
        curves = self.surrogate.mean(rates)
        val, test = curves[f"val.{metric}"], curves[f"test.{metric}"]
        best = (-val if metric == "loss" else val).argmax(axis=1)
        rows = np.arange(len(rates))
        return val[rows, best], test[rows, best]

    def work_of(self, rates: Array) -> float:
        """Operations of a step at rates [blocks], over those with every block trained."""
        flops: dict[str, float] = self.table.header["block_flops"]
        policy = dict(zip(self.blocks, rates, strict=True))
        return training_flops(flops, policy) / training_flops(flops, dict.fromkeys(flops, 1.0))

    @cached_property
    def _rows(self) -> dict[tuple[bytes, int | None], int]:
        keys = zip(self.table.rates, self.table.seeds, strict=True)
        return {(rates.tobytes(), int(seed)): row for row, (rates, seed) in enumerate(keys)}

    def _rates(self, policy: Mapping[str, float]) -> Array:
        if tuple(policy) != self.blocks:
            raise ValueError(f"expected the blocks {self.blocks}, got {tuple(policy)}")
        rates = np.array([float(f"{value * self.lr:.6g}") for value in policy.values()])
        if not rates[-1]:
            raise ValueError(
                f"the head {self.blocks[-1]!r} always trains in this table; use an encoding with "
                "head='always'"
            )
        return rates

    def _training(
        self, curves: Mapping[str, Array], rates: Array, epochs: int, metric: str, real: bool
    ) -> Training:
        if not 1 <= epochs <= self.epochs:
            raise ValueError(f"epochs must be 1 to {self.epochs}, got {epochs}")
        finite = int(np.isfinite(curves["val.loss"][:epochs]).sum())
        val = {m: curves[f"val.{m}"][:finite] for m in METRICS}
        test = {m: curves[f"test.{m}"][:finite] for m in METRICS}
        chosen = -val[metric] if metric == "loss" else val[metric]
        ended = max(finite, 1) - 1
        return Training(
            val,
            test,
            int(chosen.argmax()) if finite else None,
            metric,
            self.work_of(rates) * epochs / self.epochs,
            float(np.nan_to_num(curves["seconds"][ended])),
            "table" if real else "surrogate",
            finite < epochs,
        )


def open_tables(folder: str | Path = TABLES) -> dict[str, LayerBench]:
    """Every table of a folder, by default those of the package, by its data set.

    Raises:
        FileNotFoundError: if there are none.
    """
    return dict(_tables(Path(folder)))


def _tables(folder: Path) -> Iterator[tuple[str, LayerBench]]:
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    if not paths:
        raise FileNotFoundError(f"there is no LayerBench in {folder}: expected files *{SUFFIX}")
    for path in paths:
        bench = LayerBench(path)
        yield bench.name, bench


def _shipped() -> dict[str, Path]:
    """Data set to the table of the package, as its file is called: network-set-epochs."""
    return {path.name.split("-")[1]: path for path in sorted(TABLES.glob(f"*{SUFFIX}"))}
