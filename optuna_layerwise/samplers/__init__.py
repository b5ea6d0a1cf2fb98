"""Optuna samplers for layer genes and any other search space.

Names are imported when first used.
"""

from typing import TYPE_CHECKING

from optuna_layerwise.lazy import lazily

if TYPE_CHECKING:
    from optuna_layerwise.samplers._algorithm import Algorithm, Draw, Encoding, Member, Rng, Space
    from optuna_layerwise.samplers._cohort import CohortSampler
    from optuna_layerwise.samplers._rederiving import Difference, Rederivation, rederive
    from optuna_layerwise.samplers.biotune import BioTuneSampler
    from optuna_layerwise.samplers.catcmawm import CatCMAwMSampler
    from optuna_layerwise.samplers.sampler_registry import SAMPLERS, STARTS_INFORMED
    from optuna_layerwise.samplers.set_ga import SetGASampler

__all__ = [
    "SAMPLERS",
    "STARTS_INFORMED",
    "Algorithm",
    "BioTuneSampler",
    "CatCMAwMSampler",
    "CohortSampler",
    "Difference",
    "Draw",
    "Encoding",
    "Member",
    "Rederivation",
    "Rng",
    "SetGASampler",
    "Space",
    "rederive",
]

__getattr__, __dir__ = lazily(__name__)
