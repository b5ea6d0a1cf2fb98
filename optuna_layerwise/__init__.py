"""Which layers of a pretrained network to fine-tune, and how fast.

Names are imported when first used, so that the samplers come without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna_layerwise.data import load_data
    from optuna_layerwise.encodings import Encoding
    from optuna_layerwise.layerbench import LayerBench, LayerBenchObjective
    from optuna_layerwise.models import ModelSpec, frozen, param_groups, partition, replace_head
    from optuna_layerwise.objective import FinetuneObjective
    from optuna_layerwise.pausing import TrialPaused
    from optuna_layerwise.policy import Policy, Recipe
    from optuna_layerwise.pruning import GenerationPruner
    from optuna_layerwise.results import Final
    from optuna_layerwise.samplers import BioTuneSampler, CatCMAwMSampler, SetGASampler
    from optuna_layerwise.studies import open_study

_HOMES = {
    "BioTuneSampler": "samplers",
    "CatCMAwMSampler": "samplers",
    "Encoding": "encodings",
    "Final": "results",
    "FinetuneObjective": "objective",
    "GenerationPruner": "pruning",
    "LayerBench": "layerbench",
    "LayerBenchObjective": "layerbench",
    "ModelSpec": "models",
    "Policy": "policy",
    "Recipe": "policy",
    "SetGASampler": "samplers",
    "TrialPaused": "pausing",
    "frozen": "models",
    "load_data": "data",
    "open_study": "studies",
    "param_groups": "models",
    "partition": "models",
    "replace_head": "models",
}

__all__ = [
    "BioTuneSampler",
    "CatCMAwMSampler",
    "Encoding",
    "Final",
    "FinetuneObjective",
    "GenerationPruner",
    "LayerBench",
    "LayerBenchObjective",
    "ModelSpec",
    "Policy",
    "Recipe",
    "SetGASampler",
    "TrialPaused",
    "frozen",
    "load_data",
    "open_study",
    "param_groups",
    "partition",
    "replace_head",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
