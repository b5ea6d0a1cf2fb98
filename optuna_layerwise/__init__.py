"""Which layers of a pretrained network to fine-tune, and how fast.

Names are imported when first used, so that the samplers come without torch.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from optuna_layerwise.lazy import FormerNames, lazily

if TYPE_CHECKING:
    from optuna_layerwise.data import load_data
    from optuna_layerwise.encodings import Encoding
    from optuna_layerwise.experiments.estimator import LayerwiseClassifier
    from optuna_layerwise.layerbench import LayerBench, LayerBenchObjective
    from optuna_layerwise.models import (
        ModelSpec,
        OwnModel,
        frozen,
        param_groups,
        partition,
        replace_head,
    )
    from optuna_layerwise.objective.finetune import FinetuneObjective
    from optuna_layerwise.policy import Policy
    from optuna_layerwise.recipe import Recipe
    from optuna_layerwise.records.final import Ending, Final
    from optuna_layerwise.samplers import BioTuneSampler, CatCMAwMSampler, SetGASampler
    from optuna_layerwise.samplers.pruning import GenerationPruner
    from optuna_layerwise.studies import open_study
    from optuna_layerwise.studies.pausing import TrialPaused

__all__ = [
    "BioTuneSampler",
    "CatCMAwMSampler",
    "Encoding",
    "Ending",
    "Final",
    "FinetuneObjective",
    "GenerationPruner",
    "LayerBench",
    "LayerBenchObjective",
    "LayerwiseClassifier",
    "ModelSpec",
    "OwnModel",
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

__getattr__, __dir__ = lazily(__name__)

sys.meta_path.append(
    FormerNames(
        __name__,
        {
            "attributes": "records.attributes",
            "digits": "training.pretrained_digits",
            "fingerprint": "records.fingerprint",
            "methods": "recipe_methods",
            "pausing": "studies.pausing",
            "pruning": "samplers.pruning",
            "reporting.compare": "analysis.comparison",
            "reporting.rows": "analysis.history",
            "reporting.statistics": "analysis.statistics",
            "results": "records.final",
            "runs": "records.run",
            "trial_files": "objective.trial_files",
        },
    )
)
