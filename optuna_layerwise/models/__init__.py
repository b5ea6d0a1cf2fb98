"""A model as named blocks: partition, parameter groups, reversible freezing, heads, weights."""

from optuna_layerwise.models.digits_cnn import DigitsCNN
from optuna_layerwise.models.freezing import frozen
from optuna_layerwise.models.heads import (
    classifier_parameters,
    head_layers,
    replace_head,
    reset_head,
)
from optuna_layerwise.models.lora import Adapted, adapted
from optuna_layerwise.models.outputs import balanced_weights, logits_of, training_loss
from optuna_layerwise.models.own_model import OwnModel
from optuna_layerwise.models.parameter_groups import param_groups, trained_share
from optuna_layerwise.models.partition import (
    Blocks,
    Patterns,
    check_partition,
    partition,
)
from optuna_layerwise.models.resnet20 import ResNet20
from optuna_layerwise.models.sources import MODELS, Preprocessing
from optuna_layerwise.models.spec import ModelSpec, check_input, check_takes
from optuna_layerwise.models.team import Team, is_team, load_team, save_team
from optuna_layerwise.models.weights import load_weights
from optuna_layerwise.recipe import Granularity

__all__ = [
    "MODELS",
    "Adapted",
    "Blocks",
    "DigitsCNN",
    "Granularity",
    "ModelSpec",
    "OwnModel",
    "Patterns",
    "Preprocessing",
    "ResNet20",
    "Team",
    "adapted",
    "balanced_weights",
    "check_input",
    "check_partition",
    "check_takes",
    "classifier_parameters",
    "frozen",
    "head_layers",
    "is_team",
    "load_team",
    "load_weights",
    "logits_of",
    "param_groups",
    "partition",
    "replace_head",
    "reset_head",
    "save_team",
    "trained_share",
    "training_loss",
]
