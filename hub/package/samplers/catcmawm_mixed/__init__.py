"""CatCMA with margin for any search space, from the package optuna-layerwise."""

from optuna_layerwise import CatCMAwMSampler

__all__ = ["CatCMAwMSampler"]
