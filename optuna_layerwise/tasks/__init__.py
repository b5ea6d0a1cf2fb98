"""What a network is to answer: one class, several labels, or numbers."""

from optuna_layerwise.tasks.classification import Classification
from optuna_layerwise.tasks.classification_metrics import classification_metrics
from optuna_layerwise.tasks.known_tasks import TASKS, task_of
from optuna_layerwise.tasks.multilabel import Multilabel
from optuna_layerwise.tasks.numeric import Regression
from optuna_layerwise.tasks.task import Task

__all__ = [
    "TASKS",
    "Classification",
    "Multilabel",
    "Regression",
    "Task",
    "classification_metrics",
    "task_of",
]
