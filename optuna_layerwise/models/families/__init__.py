"""Which modules make up the blocks of a network, by its class, its library or its children."""

from optuna_layerwise.models.families.family_registry import FAMILIES, LIBRARIES, block_paths
from optuna_layerwise.models.families.paths import Depth, Paths

__all__ = ["FAMILIES", "LIBRARIES", "Depth", "Paths", "block_paths"]
