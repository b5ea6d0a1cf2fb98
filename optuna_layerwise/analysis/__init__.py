"""What studies say, as numbers: histories, statistics and comparisons, without any page."""

from optuna_layerwise.analysis.front import cheapest_within, front
from optuna_layerwise.analysis.history import History, Row, read

__all__ = ["History", "Row", "cheapest_within", "front", "read"]
