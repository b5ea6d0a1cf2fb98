"""A table of a paper: which cells it shows, and how, beside what the paper has."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from benchmarks.protocols.experiments import Cell, Experiment
from optuna_layerwise.reporting.report_grid import Grid

Record = Mapping[str, Any]
Scale = Literal["full", "small"]
Columns = Literal["data", "fraction", "network", "value"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """Rows are methods; what the columns do not show is apart in a grid of its own.

    Args:
        name: Of the command.
        title: Above it.
        experiments: Scale to what is run.
        values: Names of `VALUES`.
        columns: What differs from column to column.
        spread: Over the runs (over the final seeds of the only one): ``error`` is the standard
            error in round brackets, ``deviation`` the standard deviation after ±.
        published: The paper's numbers, of those that are known here: arm, network, data set,
            fraction and value.
        compares: The page has the statistics of `comparison`, too.
        differences: Scale to what is otherwise than in the paper, in sentences.
    """

    name: str
    title: str
    experiments: Mapping[str, Experiment]
    values: tuple[str, ...]
    columns: Columns
    spread: Literal["error", "deviation"]
    published: Mapping[tuple[str, str, str, float, str], float] = dataclasses.field(
        default_factory=dict
    )
    compares: bool = False
    differences: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)


def _test(metric: str) -> Callable[[Record], list[float]]:
    def percent(record: Record) -> list[float]:
        values = [seed.get(metric) for seed in record["chosen"]["test"]]
        return [math.nan if value is None else 100 * value for value in values]

    return percent


VALUES: dict[str, tuple[str, Callable[[Record], list[float]]]] = {
    "accuracy": ("accuracy, %", _test("accuracy")),
    "balanced_accuracy": ("balanced accuracy, %", _test("balanced_accuracy")),
    "auc": ("AUC, %", _test("auc")),
    "trained_share": (
        "trained parameters, %",
        lambda record: [100 * record["chosen"]["trained_share"]],
    ),
    "hours": ("hours of search", lambda record: [record["search"]["seconds"] / 3600]),
}
"""Name to what a table calls it, and the values of one cell, one for each training."""


def grids(table: Table, scale: str, found: Mapping[Cell, Record]) -> Iterator[Grid]:
    """One grid for everything that is not in the columns."""
    experiment = table.experiments[scale]
    keys: dict[str, Sequence[Any]] = {
        "network": experiment.networks,
        "data": experiment.sets,
        "fraction": experiment.fractions,
        "value": table.values,
    }
    columns = keys.pop(table.columns)
    for apart in itertools.product(*keys.values()):
        fixed = dict(zip(keys, apart, strict=True))
        rows = []
        for name, arm in experiment.arms.items():
            shown = [
                _cell(table, found, name, **fixed, **{table.columns: column}) for column in columns
            ]
            rows.append([arm.title, *shown])
        named = [_named(key, value) for key, value in fixed.items() if len(keys[key]) > 1]
        if table.columns != "value" and len(table.values) == 1:
            named.append(VALUES[table.values[0]][0])
        yield Grid(
            ", ".join(named), ["method", *(_named(table.columns, c) for c in columns)], rows
        )


def _named(key: str, value: Any) -> str:
    if key == "fraction":
        return f"{100 * value:g} % of the data"
    return VALUES[value][0] if key == "value" else str(value)


def _cell(
    table: Table,
    found: Mapping[Cell, Record],
    arm: str,
    *,
    network: str,
    data: str,
    fraction: float,
    value: str,
) -> str:
    place = (arm, network, data, fraction)
    runs = [
        VALUES[value][1](record)
        for cell, record in found.items()
        if (cell.arm, cell.network, cell.data, cell.fraction) == place
    ]
    values = runs[0] if len(runs) == 1 else [float(np.mean(seeds)) for seeds in runs]
    published = table.published.get((*place, value))
    beside = "" if published is None else f" [{published:g}]"
    return f"{mean_and_spread(values, table.spread)}{beside}"


def mean_and_spread(values: Sequence[float], spread: str) -> str:
    """A mean, and from two values on its standard error or deviation.

    Example:
        >>> mean_and_spread([80.0, 82.0], "deviation"), mean_and_spread([80.0, 82.0], "error")
        ('81.0 ± 1.4', '81.0 (1.0)')
    """
    if not values:
        return "–"
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.1f}"
    deviation = float(np.std(values, ddof=1))
    if spread == "deviation":
        return f"{mean:.1f} ± {deviation:.1f}"
    return f"{mean:.1f} ({deviation / math.sqrt(len(values)):.1f})"
