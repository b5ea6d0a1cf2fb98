"""The bridge from Optuna to torch: a trial is the fine-tuning of one policy.

No other folder imports both. Names are imported when first used.
"""

from typing import TYPE_CHECKING

from optuna_layerwise.lazy import lazily

if TYPE_CHECKING:
    from optuna_layerwise.objective.finetune import FinetuneObjective

__all__ = ["FinetuneObjective"]

__getattr__, __dir__ = lazily(__name__)
