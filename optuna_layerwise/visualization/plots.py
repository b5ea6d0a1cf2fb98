"""The figures of `optuna_layerwise.visualization`, each for studies in the place of histories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import optuna
import plotly.graph_objects as go

from optuna_layerwise.analysis import History, read
from optuna_layerwise.analysis.history import Axis
from optuna_layerwise.visualization import figures

Studies = (
    optuna.Study
    | Sequence[optuna.Study]
    | Mapping[str, optuna.Study]
    | Mapping[str, Sequence[optuna.Study]]
)


def plot_layer_plan(study: optuna.Study, *, max_trials: int = 200) -> go.Figure:
    """What every trial did with every block, best trials first; see `figures.layer_plan`.

    Examples:
        >>> study = optuna.create_study()
        >>> study.optimize(lambda trial: trial.suggest_float("lr/stem", 1e-5, 1e-1, log=True)
        ...                + trial.suggest_float("lr/head", 1e-5, 1e-1, log=True), n_trials=3)
        >>> plot_layer_plan(study).layout.xaxis.title.text
        'trial'
    """
    return figures.layer_plan(read(study), max_trials=max_trials)


def plot_best_plans(studies: Studies) -> go.Figure:
    """The best policies of several studies side by side."""
    return figures.best_plans([h for group in _groups(studies).values() for h in group])


def plot_rate_distributions(studies: Studies, *, top: float = 0.25) -> go.Figure:
    """Which rates the best ``top`` of the trials give each block, and how often it is frozen."""
    return figures.rate_distributions(_groups(studies), top=top)


def plot_best_so_far(studies: Studies, *, over: Axis = "trials") -> go.Figure:
    """The best value so far over ``trials``, ``images`` or ``seconds``."""
    return figures.best_so_far(_groups(studies), over=over)


def plot_learning_curves(study: optuna.Study, *, n_best: int = 4) -> go.Figure:
    """The values that trials reported over epochs."""
    return figures.learning_curves(read(study), n_best=n_best)


def plot_accuracy_cost(study: optuna.Study) -> go.Figure:
    """Value against trained share and cost, with the front of both."""
    return figures.accuracy_cost(read(study))


def plot_block_importance(study: optuna.Study) -> go.Figure:
    """PED-ANOVA by block, and what freezing each changes."""
    return figures.block_importance(read(study))


def plot_population(study: optuna.Study) -> go.Figure:
    """Values and trained blocks, generation by generation."""
    return figures.population(read(study))


def plot_validation_test_gap(studies: Studies) -> go.Figure:
    """What validation promised and what the test gave, of finalized studies."""
    return figures.validation_test_gap([h for group in _groups(studies).values() for h in group])


def _groups(studies: Studies) -> dict[str, list[History]]:
    if isinstance(studies, optuna.Study):
        studies = [studies]
    if not isinstance(studies, Mapping):
        return figures.alone([read(study) for study in studies])
    return {
        name: [read(s) for s in ([group] if isinstance(group, optuna.Study) else group)]
        for name, group in studies.items()
    }
