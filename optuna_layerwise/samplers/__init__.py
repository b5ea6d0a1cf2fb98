"""Optuna samplers for layer genes and any other search space."""

from collections.abc import Callable

from optuna.samplers import BaseSampler

from optuna_layerwise.samplers._algorithm import Encoding
from optuna_layerwise.samplers._rederiving import Difference, Rederivation, rederive
from optuna_layerwise.samplers.biotune import BioTuneSampler
from optuna_layerwise.samplers.catcmawm import CatCMAwMSampler
from optuna_layerwise.samplers.set_ga import SetGASampler

SAMPLERS: dict[str, Callable[..., BaseSampler]] = {
    "biotune": BioTuneSampler,
    "catcmawm": CatCMAwMSampler,
    "set-ga": SetGASampler,
}
"""Name to sampler; each takes ``seed=`` and ``encoding=``."""
STARTS_INFORMED = {"catcmawm"}
"""Of these, the ones that take known recipes and another study's trials as an option."""

__all__ = [
    "SAMPLERS",
    "STARTS_INFORMED",
    "BioTuneSampler",
    "CatCMAwMSampler",
    "Difference",
    "Encoding",
    "Rederivation",
    "SetGASampler",
    "rederive",
]
