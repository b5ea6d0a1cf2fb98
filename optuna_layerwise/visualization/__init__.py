"""Figures of studies, in the manner of `optuna.visualization`.

Every function takes a study, or where several can be compared a sequence of studies, and returns
a `plotly.graph_objects.Figure`. Studies of one group, such as the seeds of a method, are given
as a mapping: ``plot_best_so_far({"biotune": [a, b, c], "tpe": [d, e, f]})``. Studies that
`FinetuneObjective` has not run are shown as far as they tell. On dark pages:
``figure.update_layout(template=DARK)``.
"""

from optuna_layerwise.visualization.look import DARK, LIGHT
from optuna_layerwise.visualization.plots import (
    plot_accuracy_cost,
    plot_best_plans,
    plot_best_so_far,
    plot_block_importance,
    plot_layer_plan,
    plot_learning_curves,
    plot_population,
    plot_rate_distributions,
    plot_validation_test_gap,
)

__all__ = [
    "DARK",
    "LIGHT",
    "plot_accuracy_cost",
    "plot_best_plans",
    "plot_best_so_far",
    "plot_block_importance",
    "plot_layer_plan",
    "plot_learning_curves",
    "plot_population",
    "plot_rate_distributions",
    "plot_validation_test_gap",
]
