"""A model as named blocks: partition, parameter groups, reversible freezing, heads, weights."""

from optuna_layerwise.models.digits_cnn import DigitsCNN
from optuna_layerwise.models.freezing import frozen
from optuna_layerwise.models.groups import param_groups, trained_share
from optuna_layerwise.models.heads import replace_head, reset_head
from optuna_layerwise.models.partition import (
    Blocks,
    Granularity,
    Patterns,
    check_partition,
    partition,
)
from optuna_layerwise.models.spec import MODELS, ModelSpec, check_input
from optuna_layerwise.models.weights import load_weights

__all__ = [
    "MODELS",
    "Blocks",
    "DigitsCNN",
    "Granularity",
    "ModelSpec",
    "Patterns",
    "check_input",
    "check_partition",
    "frozen",
    "load_weights",
    "param_groups",
    "partition",
    "replace_head",
    "reset_head",
    "trained_share",
]
