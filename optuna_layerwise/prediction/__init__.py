"""Exported networks, used: classes and probabilities of new images; ONNX and torch.export.

Names are imported when first used.
"""

from typing import TYPE_CHECKING

from optuna_layerwise.lazy import lazily

if TYPE_CHECKING:
    from optuna_layerwise.prediction.exported import Exported, load_exported
    from optuna_layerwise.prediction.programs import write_onnx, write_program

__all__ = ["Exported", "load_exported", "write_onnx", "write_program"]

__getattr__, __dir__ = lazily(__name__)
