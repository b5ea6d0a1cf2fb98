"""The one fine-tuning loop, and what its results are measured by."""

from optuna_layerwise.training.checkpoint import Checkpoint
from optuna_layerwise.training.devices import resolve_device
from optuna_layerwise.training.evaluation import evaluate
from optuna_layerwise.training.fit import EpochResult, Fit, FitStopped, fit
from optuna_layerwise.training.metrics import (
    METRICS,
    classification_metrics,
    higher_is_better,
)
from optuna_layerwise.training.trainer import Trainer

__all__ = [
    "METRICS",
    "Checkpoint",
    "EpochResult",
    "Fit",
    "FitStopped",
    "Trainer",
    "classification_metrics",
    "evaluate",
    "fit",
    "higher_is_better",
    "resolve_device",
]
