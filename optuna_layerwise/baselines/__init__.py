"""Published methods as recipes, trained by the same loop as a search's policies."""

from optuna_layerwise.baselines.baseline import Baseline
from optuna_layerwise.baselines.baseline_registry import BASELINES, REFERENCES, baseline_named

__all__ = ["BASELINES", "REFERENCES", "Baseline", "baseline_named"]
