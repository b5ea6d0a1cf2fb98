"""Which epoch is the best by a metric, and which metrics a validation split can judge by."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from optuna_layerwise.data import Examples
from optuna_layerwise.recipe import Metric, improves
from optuna_layerwise.tasks import task_of

START = -1
"""In the place of an epoch's number: before the first step."""


def best_epoch(
    history: Sequence[Mapping[str, float]],
    metric: Metric,
    start: Mapping[str, float] | None = None,
) -> int | None:
    """The first epoch with the best value of the metric; ``None`` if no value is finite.

    Args:
        history: The metrics of each epoch.
        metric: The one that decides.
        start: The metrics before the first epoch, which is then `START` if none improves on it.
    """
    best, best_value = None, None
    for epoch, metrics in enumerate([start or {}, *history], START):
        if improves(metric, value := metrics.get(metric, math.nan), best_value):
            best, best_value = epoch, value
    return best


def check_metric(metric: Metric, val: Examples) -> None:
    """Refuse a metric that says nothing about a validation split; warn if it skips classes.

    Raises:
        ValueError: for a metric of another task, or the AUC of a single class.
    """
    task = task_of(val)
    if metric not in task.metrics:
        raise ValueError(
            f"metric {metric!r} is none of the task {task.name!r}; expected one of "
            f"{[*task.choices]} (--metric)"
        )
    if not task.has_classes:
        return
    found = [val.classes[label] for label in np.unique(val.labels)]
    if metric == "auc" and len(found) < 2:
        raise ValueError(
            f"metric 'auc' needs at least two classes in the validation split, got only {found}; "
            "use 'loss' or 'accuracy', or a stratified split"
        )
    if metric == "auc" and (absent := [name for name in val.classes if name not in found]):
        warnings.warn(
            f"the validation split has no image of the classes {absent}: auc skips them",
            stacklevel=3,
        )
