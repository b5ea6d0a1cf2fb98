"""Figures of studies, one a module; each takes what `read` gives, but for `reliability`."""

from optuna_layerwise.visualization.accuracy_cost import accuracy_cost
from optuna_layerwise.visualization.bands import Groups, alone
from optuna_layerwise.visualization.best_plans import best_plans
from optuna_layerwise.visualization.best_so_far import best_so_far
from optuna_layerwise.visualization.block_importance import block_importance
from optuna_layerwise.visualization.layer_plan import layer_plan
from optuna_layerwise.visualization.learning_curves import learning_curves
from optuna_layerwise.visualization.look import DARK, LIGHT
from optuna_layerwise.visualization.population import population
from optuna_layerwise.visualization.rate_distributions import rate_distributions
from optuna_layerwise.visualization.reliability import reliability
from optuna_layerwise.visualization.validation_test_gap import validation_test_gap

__all__ = [
    "DARK",
    "LIGHT",
    "Groups",
    "accuracy_cost",
    "alone",
    "best_plans",
    "best_so_far",
    "block_importance",
    "layer_plan",
    "learning_curves",
    "population",
    "rate_distributions",
    "reliability",
    "validation_test_gap",
]
