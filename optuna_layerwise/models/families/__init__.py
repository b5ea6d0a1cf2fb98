"""Which modules make up the blocks of a network, by its class, its library or its children."""

from optuna_layerwise.models.families.paths import Depth, Paths
from optuna_layerwise.models.families.registry import FAMILIES, LIBRARIES, block_paths

__all__ = ["FAMILIES", "LIBRARIES", "Depth", "Paths", "block_paths"]
