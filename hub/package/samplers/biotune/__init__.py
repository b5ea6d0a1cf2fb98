"""BioTune's memetic evolution, from the package optuna-layerwise."""

from optuna_layerwise import BioTuneSampler

__all__ = ["BioTuneSampler"]
