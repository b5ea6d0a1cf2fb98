"""Layer-wise policies in training loops of other libraries: Trainer, Lightning, timm, PEFT.

Names are imported when first used, so that each needs its own library alone.
"""

from typing import TYPE_CHECKING

from optuna_layerwise.lazy import lazily

if TYPE_CHECKING:
    from optuna_layerwise.integrations.groups import layer_groups
    from optuna_layerwise.integrations.hugging_face import LayerwiseSearch
    from optuna_layerwise.integrations.lightning_callback import LayerFinetuning
    from optuna_layerwise.integrations.peft_config import lora_config

__all__ = ["LayerFinetuning", "LayerwiseSearch", "layer_groups", "lora_config"]

__getattr__, __dir__ = lazily(__name__)
