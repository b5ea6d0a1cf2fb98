"""Every task, by its name."""

from __future__ import annotations

from typing import Protocol

from optuna_layerwise.tasks.classification import Classification
from optuna_layerwise.tasks.multilabel import Multilabel
from optuna_layerwise.tasks.numeric import Regression
from optuna_layerwise.tasks.task import Task

TASKS: dict[str, type[Task]] = {
    kind.name: kind for kind in (Classification, Multilabel, Regression)
}


class Labelled(Protocol):
    """What has labels: `Examples`, or a network that was saved."""

    @property
    def task(self) -> str:
        """A name in `TASKS`."""

    @property
    def scale(self) -> tuple[tuple[float, float], ...]:
        """See `Task`."""


def task_of(labelled: Labelled) -> Task:
    """The task of some examples, or of a saved network."""
    return TASKS[labelled.task](labelled.scale)
