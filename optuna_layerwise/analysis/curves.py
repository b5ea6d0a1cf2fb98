"""How good a study was after so many trials, images or seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import accumulate
from typing import get_args

import optuna

from optuna_layerwise.analysis.history import Axis, Row, read

AXES: tuple[Axis, ...] = get_args(Axis)
RULE = (
    "Trials count in the order in which they ended, with what all up to them have cost; the value "
    "after a budget is the best of those that ended within it. Nothing is interpolated: between "
    "two trials the value is that of the earlier one. Failed and pruned trials cost and give no "
    "value. Images went forward and backward in training. Seconds are of training and validation, "
    "summed over workers; of a trial without a record of them, from its start to its end."
)


@dataclasses.dataclass(frozen=True)
class Curve:
    """One study, trial by trial.

    Args:
        name: Of the study.
        maximize: Its direction.
        values: Per finished trial its value, in the order in which they ended; ``None`` of those
            that are not complete or infeasible.
        spent: Per axis what had been spent when each ended; an axis that is not known for all
            complete trials is missing.
    """

    name: str
    maximize: bool
    values: tuple[float | None, ...]
    spent: dict[Axis, tuple[float, ...]]

    def total(self, axis: Axis) -> float:
        """All that was spent."""
        return self.spent[axis][-1] if self.values else 0.0

    def best(self, axis: Axis, budget: float) -> float | None:
        """The best value of the trials that ended within a budget; ``None`` if there is none."""
        ended = zip(self.values, self.spent[axis], strict=True)
        values = [value for value, spent in ended if value is not None and spent <= budget]
        return (max if self.maximize else min)(values, default=None)


def curve(study: optuna.Study) -> Curve:
    """Read a study of one objective.

    Raises:
        ValueError: if it has several.
    """
    if len(study.directions) != 1:
        raise ValueError(
            f"study {study.study_name!r} has {len(study.directions)} objectives; those with one "
            "can be compared"
        )
    history = read(study)
    rows = history.as_finished
    costs: dict[Axis, list[float | None]] = {
        "trials": [1.0] * len(rows),
        "images": [row.images for row in rows],
        "seconds": [row.seconds for row in rows],
    }
    return Curve(
        name=history.name,
        maximize=history.sign > 0,
        values=tuple(row.value if row.counts else None for row in rows),
        spent={axis: _sums(cost) for axis, cost in costs.items() if _known(cost, rows)},
    )


def _known(costs: Sequence[float | None], rows: Sequence[Row]) -> bool:
    pairs = zip(costs, rows, strict=True)
    return all(cost is not None for cost, row in pairs if row.value is not None)


def _sums(costs: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(accumulate(cost or 0.0 for cost in costs))
