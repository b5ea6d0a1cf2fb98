"""Trial parameters to policies and back."""

from optuna_layerwise.encodings.decay import Decay
from optuna_layerwise.encodings.encoding import ENCODINGS, N_RECIPES, Encoding, Head
from optuna_layerwise.encodings.genes import Gene, Layout, Mask, Rate
from optuna_layerwise.encodings.masks import All, Bits, Only, Threshold
from optuna_layerwise.encodings.profile import Profile
from optuna_layerwise.encodings.rates import (
    Fixed,
    FromSet,
    Global,
    Importance,
    Linear,
    PerBlock,
)
from optuna_layerwise.encodings.tuned_fields import TUNABLE, tuned_genes

__all__ = [
    "ENCODINGS",
    "N_RECIPES",
    "TUNABLE",
    "All",
    "Bits",
    "Decay",
    "Encoding",
    "Fixed",
    "FromSet",
    "Gene",
    "Global",
    "Head",
    "Importance",
    "Layout",
    "Linear",
    "Mask",
    "Only",
    "PerBlock",
    "Profile",
    "Rate",
    "Threshold",
    "tuned_genes",
]
