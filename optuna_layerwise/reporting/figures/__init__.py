"""Figures of studies, one a module; each takes what `read` gives."""

from optuna_layerwise.reporting.figures.accuracy_cost import accuracy_cost
from optuna_layerwise.reporting.figures.best_plans import best_plans
from optuna_layerwise.reporting.figures.best_so_far import Axis, best_so_far
from optuna_layerwise.reporting.figures.block_importance import block_importance
from optuna_layerwise.reporting.figures.groups import Groups, alone
from optuna_layerwise.reporting.figures.layer_plan import layer_plan
from optuna_layerwise.reporting.figures.learning_curves import learning_curves
from optuna_layerwise.reporting.figures.look import DARK, LIGHT
from optuna_layerwise.reporting.figures.population import population
from optuna_layerwise.reporting.figures.rate_distributions import rate_distributions
from optuna_layerwise.reporting.figures.validation_test_gap import validation_test_gap

__all__ = [
    "DARK",
    "LIGHT",
    "Axis",
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
    "validation_test_gap",
]
