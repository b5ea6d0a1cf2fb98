"""Published methods as recipes, trained by the same loop as a search's policies."""

from optuna_layerwise.baselines.plain import BASELINES, Baseline

__all__ = ["BASELINES", "Baseline"]
