"""The methods by name."""

from __future__ import annotations

from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.training.methods.course import Course
from optuna_layerwise.training.methods.gradient_norms import GradientNormCourse
from optuna_layerwise.training.methods.low_rank import LowRankCourse
from optuna_layerwise.training.methods.penalty import PenaltyCourse
from optuna_layerwise.training.methods.regression import RegressionCourse
from optuna_layerwise.training.methods.unfreezing import UnfreezingCourse

COURSES: dict[str, type[Course]] = {
    "l2-sp": PenaltyCourse,
    "l1-sp": PenaltyCourse,
    "last-to-first": UnfreezingCourse,
    "first-to-last": UnfreezingCourse,
    "auto-rgn": GradientNormCourse,
    "lora": LowRankCourse,
    "regression": RegressionCourse,
}
"""Name of a method to what it does."""


def course_of(policy: Policy, recipe: Recipe) -> Course:
    """What the recipe's method does to a training of the policy."""
    return (Course if recipe.method is None else COURSES[recipe.method.name])(policy, recipe)
