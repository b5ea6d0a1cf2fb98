"""The one fine-tuning loop, and what its results are measured by."""

from optuna_layerwise.cost import Cost
from optuna_layerwise.recipe import higher_is_better
from optuna_layerwise.training.checkpoint import Checkpoint
from optuna_layerwise.training.compute import Compute, ran_out_of_memory
from optuna_layerwise.training.devices import device_name, resolve_device
from optuna_layerwise.training.engine import Engine
from optuna_layerwise.training.fit import EpochResult, Fit, FitStopped, fit
from optuna_layerwise.training.trainer import Trainer

__all__ = [
    "Checkpoint",
    "Compute",
    "Cost",
    "Engine",
    "EpochResult",
    "Fit",
    "FitStopped",
    "Trainer",
    "device_name",
    "fit",
    "higher_is_better",
    "ran_out_of_memory",
    "resolve_device",
]
