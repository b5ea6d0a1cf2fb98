"""Where networks and published weights come from: torchvision and our own, timm, transformers."""

from optuna_layerwise.models.sources.arguments import kind_of, plain_arguments
from optuna_layerwise.models.sources.source import Preprocessing, Source
from optuna_layerwise.models.sources.source_registry import SOURCES, source_of
from optuna_layerwise.models.sources.torchvision import ALSO_GIVEN, MADE_HERE, MODELS

__all__ = [
    "ALSO_GIVEN",
    "MADE_HERE",
    "MODELS",
    "SOURCES",
    "Preprocessing",
    "Source",
    "kind_of",
    "plain_arguments",
    "source_of",
]
